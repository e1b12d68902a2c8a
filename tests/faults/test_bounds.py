"""What one client may cost: slots, memory, questions to upstream. Each attack is on the real program."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.fakes.caller import words
from tests.fakes.deeds import Stall
from tests.fakes.program import Program
from tests.fakes.registry import FakeRegistry
from tests.rig import LOOPBACK, get

NAME = "library/app"
MIB = 1024 * 1024
OTHER = "127.0.0.2"  # another client
READERS = 200


@pytest.fixture(params=[1, 2], ids=["one worker", "two workers"])
async def program(request: pytest.FixtureRequest, upstream: FakeRegistry, tmp_path: Path) -> AsyncIterator[Program]:
    program = Program(tmp_path, {"docker.io": {"hosts": [{"url": upstream.url}]}}, workers=request.param)
    async with program.running():
        yield program
        assert "a worker died" not in program.log()


def most_memory(program: Program) -> int:
    """Tell how many bytes the workers have had at most, in all."""
    return sum(_most_memory(worker) for worker in program.workers())


def _most_memory(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


async def _deaf(port: int) -> socket.socket:
    """Connect a socket for which the kernel takes little."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, (LOOPBACK, port))
    return sock


@asynccontextmanager
async def unread(program: Program, requests: Iterable[bytes]) -> AsyncIterator[list[asyncio.StreamReader]]:
    """Send requests, each on a connection of its own, and read nothing of the answers."""
    clients = [await asyncio.open_connection(sock=await _deaf(program.port), limit=1) for _ in requests]
    for (_, writer), request in zip(clients, requests, strict=True):
        writer.write(request)
    try:
        yield [reader for reader, _ in clients]
    finally:
        for _, writer in clients:
            writer.transport.abort()


async def asked(program: Program, request: bytes, address: str = OTHER) -> bytes:
    """Ask from *address*, and give the answer as it came."""
    reader, writer = await asyncio.open_connection(LOOPBACK, program.port, local_addr=(address, 0))
    try:
        writer.write(request)
        async with asyncio.timeout(30):
            return await reader.read(-1)
    finally:
        writer.close()


def _path(digest: object) -> str:
    return f"/v2/{NAME}/blobs/{digest}"


async def test_n12_12_slow_readers_of_parts_leave_room_for_others(upstream: FakeRegistry, program: Program) -> None:
    size = 12 * MIB
    cold, other = upstream.add_blob(NAME, bytes(size)), upstream.add_blob(NAME, os.urandom(MIB))
    stall = Stall(1000)
    upstream.misbehave(lambda entry: str(cold) in entry.path and entry.headers.get("range", "bytes=0-").startswith("bytes=0-"), stall)
    before = most_memory(program)
    requests = [words(_path(cold), Range=f"bytes={1000 + number}-{size - 1}") for number in range(READERS)]
    async with unread(program, requests) as readers:
        answers = [asyncio.create_task(reader.readexactly(1)) for reader in readers]
        await asyncio.wait(answers, return_when=asyncio.FIRST_COMPLETED)
        await stall.reached.wait()
        assert (await asked(program, get(_path(cold), Range="bytes=100000-100009"))).startswith(b"HTTP/1.1 206 ")
        for address in (OTHER, LOOPBACK):
            assert (await asked(program, get(_path(other)), address)).startswith(b"HTTP/1.1 200 ")
        grown = most_memory(program) - before
        assert grown < 160 * MIB * len(program.workers()), f"{grown / MIB:.0f} MiB"
        assert upstream.count("GET", "blobs", str(cold)) < READERS / 2 * len(program.workers())
        assert most_memory(program) - before < 160 * MIB * len(program.workers())
        stall.event.set()
        for answer in answers:
            answer.cancel()
