"""A machine that has too little for what is asked of it: rows P12, P16, P17."""

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from tests.fakes.program import Program
from tests.fakes.registry import FakeRegistry
from tests.rig import LOOPBACK, get

NAME = "library/app"
MANIFEST = f"/v2/{NAME}/manifests/1"
WAITING = 1000  # clients


@pytest.fixture
def program(upstream: FakeRegistry, tmp_path: Path) -> Program:
    return Program(tmp_path, {"docker.io": {"hosts": [{"url": upstream.url}]}}, workers=4)


async def test_p12_a_loop_that_stood_still_is_told_of(program: Program) -> None:
    async with program.running():
        worker = program.workers()[0]
        os.kill(worker, signal.SIGSTOP)
        await asyncio.sleep(2)
        os.kill(worker, signal.SIGCONT)

        async def is_told() -> bool:
            return await program.metric("regproxy_loop_lag_seconds") > 1

        await program.until(is_told)


async def test_p16_a_restart_with_a_thousand_clients_waiting_asks_upstream_nothing_twice(upstream: FakeRegistry, program: Program) -> None:
    """They are answered by whatever worker comes first; what was here is, and what was not is fetched once."""
    blobs = [os.urandom(100_000) for _ in range(2)]
    known, cold = (f"/v2/{NAME}/blobs/{upstream.add_blob(NAME, blob)}" for blob in blobs)
    image = upstream.add_image(NAME, "1", [b"layer"])
    expected = {MANIFEST: upstream.repositories[NAME].manifests[image.digest].body, known: blobs[0], cold: blobs[1]}
    async with program.running():
        for path in (MANIFEST, known):
            assert await program.ask(path) == (200, expected[path])
        program.tell(signal.SIGTERM)
        assert await program.ended() == 0
    asked = len(upstream.ledger)
    await program.start()
    try:
        await program.until(lambda: _listens(program.port))
        paths = [path for path in expected for _ in range(WAITING // len(expected))]
        waiting = [_asked(program.port, path) for path in paths]
        answers = await asyncio.gather(*map(_answer, waiting))
        wrong = [
            (path, answer[:300]) for path, answer in zip(paths, answers, strict=True) if not answer.endswith(b"\r\n\r\n" + expected[path])
        ]
        assert wrong == []
        assert [(entry.method, entry.kind) for entry in upstream.ledger[asked:]] == [("GET", "blobs")]
        assert upstream.sent_blob_bytes() == sum(map(len, blobs))
    finally:
        program.tell(signal.SIGTERM)
        assert await program.ended() == 0
    assert program.log().count("a worker died") == 0


def _asked(port: int, path: str) -> socket.socket:
    """Connect and ask at once: who has not asked 10 s after it was accepted is let go, and a busy loop may take that long."""
    sock = socket.create_connection((LOOPBACK, port), timeout=300)
    sock.sendall(get(path))
    sock.settimeout(0)
    return sock


async def _answer(sock: socket.socket) -> bytes:
    received = bytearray()
    with sock:
        while chunk := await asyncio.wait_for(asyncio.get_running_loop().sock_recv(sock, 65536), 300):
            received += chunk
    return bytes(received)


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(LOOPBACK, port)
    except OSError:
        return False
    writer.close()
    return True


async def test_p17_a_starved_machine_is_slow_and_right(upstream: FakeRegistry, program: Program) -> None:
    """Nothing is held against a host or a worker that is not their fault."""
    blobs = [os.urandom(300_000) for _ in range(12)]
    paths = [f"/v2/{NAME}/blobs/{upstream.add_blob(NAME, blob)}" for blob in blobs]
    async with program.running():
        async with _starved(program):
            answers = await asyncio.gather(*(program.ask(path) for path in paths))
        assert answers == [(200, blob) for blob in blobs]
        assert await program.metric("regproxy_upstream_failures") == 0
        assert await program.metric("regproxy_worker_restarts_total") == 0
    assert upstream.sent_blob_bytes() == sum(map(len, blobs))


@asynccontextmanager
async def _starved(program: Program) -> AsyncIterator[None]:
    """Let it run for a tenth of the time only."""

    async def starve() -> None:
        while True:
            for number, seconds in ((signal.SIGSTOP, 0.18), (signal.SIGCONT, 0.02)):
                program.tell(number)
                for worker in program.workers():
                    os.kill(worker, number)
                await asyncio.sleep(seconds)

    starving = asyncio.create_task(starve())
    try:
        yield
    finally:
        starving.cancel()
        with suppress(asyncio.CancelledError):
            await starving
        program.tell(signal.SIGCONT)
        for worker in program.workers():
            os.kill(worker, signal.SIGCONT)
