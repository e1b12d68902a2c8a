"""Clients that open thousands of TLS connections and say nothing, at both ports of the real program."""

import asyncio
import ssl
from pathlib import Path

from tests.fakes.authority import Authority
from tests.fakes.program import Program
from tests.fakes.registry import FakeRegistry
from tests.faults.hostile.promises import MIB, resident
from tests.rig import LOOPBACK

SILENT = 2000
_MOST_GROWTH = 230  # MiB of the process at two ports: 256 handshakes take 80 at each, and 2,000 took 600


async def test_n12_19_silent_tls_clients_take_little_memory_and_nobodys_turn(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    pair = authority.issue("server")
    tls = {"certificate": str(pair.certificate), "key": str(pair.key)}
    async with FakeRegistry() as upstream:
        document = {"docker.io": {"hosts": [{"url": upstream.url}]}}
        program = Program(tmp_path, document, workers=1, tls=tls, admin_tls=tls)
        process = await program.start()
        context = ssl.create_default_context(cafile=authority.ca)
        silent: list[asyncio.StreamWriter] = []
        try:
            await program.until(lambda: _answers(program.port, context, "/v2/"))
            await program.until(lambda: _answers(program.admin_port, context, "/readyz"))
            before = resident(process.pid)
            for port in (program.port, program.admin_port):
                for _ in range(SILENT):
                    _, writer = await asyncio.open_connection(LOOPBACK, port, local_addr=("127.0.9.1", 0))
                    silent.append(writer)
            assert await _answers(program.port, context, "/v2/")
            assert await _answers(program.admin_port, context, "/readyz")
            assert (resident(process.pid) - before) // MIB <= _MOST_GROWTH
        finally:
            for writer in silent:
                writer.transport.abort()
            process.terminate()
            await program.ended()


async def _answers(port: int, context: ssl.SSLContext, path: str) -> bool:
    try:
        reader, writer = await asyncio.open_connection(LOOPBACK, port, ssl=context)
    except OSError:
        return False
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        return (await reader.read()).startswith(b"HTTP/1.1 200")
    finally:
        writer.transport.abort()
