"""A disk that hangs under a whole program: nobody waits for it longer than once, and nothing is left of it afterwards; by row."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from regproxy.storage.blob_files import path_of
from tests.fakes.loader import Loader
from tests.fakes.program import Program
from tests.fakes.registry import FakeRegistry
from tests.fakes.volume import ext4, frozen

NAME = "library/app"
WARM = os.urandom(100_000)
COLD = [os.urandom(3_000_000) for _ in range(12)]


def _path(rest: object) -> str:
    return f"/v2/{NAME}/{rest}?ns=docker.io"


@pytest.fixture
async def program(upstream: FakeRegistry, tmp_path: Path) -> AsyncIterator[Program]:
    """Run the program on a disk of its own, with one image pulled."""
    upstream.add_image(NAME, "1", [WARM])
    with ext4(tmp_path / "image", tmp_path / "store"):
        program = Program(tmp_path, {"docker.io": {"hosts": [{"url": upstream.url}]}}, workers=1, drain="1s")
        async with program.running():
            for path in (_path("manifests/1"), _path(f"blobs/{upstream.add_blob(NAME, WARM)}")):
                assert (await program.ask(path))[0] == 200
            await program.until(lambda: path_of(tmp_path / "store", upstream.add_blob(NAME, WARM)).exists())
            yield program


async def test_d24_while_the_disk_hangs_pulls_go_on(upstream: FakeRegistry, program: Program, tmp_path: Path) -> None:
    store = tmp_path / "store"
    described = upstream.add_image(NAME, "2", [b"other"])
    cold = [upstream.add_blob(NAME, body) for body in COLD]
    loader, stop = Loader(program.port, _path(f"blobs/{upstream.add_blob(NAME, WARM)}"), WARM, pause=0.01), asyncio.Event()
    workers = program.workers()
    with frozen(store):
        loading = asyncio.create_task(loader.run(stop))
        assert await program.ask(_path(f"blobs/{cold[0]}")) == (200, COLD[0])
        assert loader.answers > 0
        before = loader.answers
        answers = await asyncio.gather(*(program.ask(_path(f"blobs/{digest}")) for digest in cold[1:]))
        assert answers == [(200, body) for body in COLD[1:]]
        assert (await program.ask(_path("manifests/2")))[0] == 200
        assert loader.answers > before
        await program.until(lambda: _says(program, "does not answer"))
        stop.set()
        await loading
    assert loader.failures == []
    assert program.workers() == workers, "none was taken for dead"
    await program.until(lambda: _are_kept(program, [_path(f"manifests/{described.digest}"), *(_path(f"blobs/{each}") for each in cold)]))
    assert all(path_of(store, digest).exists() for digest in cold)
    await program.until(lambda: _says(program, "ready\n"))
    await program.until(lambda: not list((store / "ingest").iterdir()))


async def test_d24_told_to_end_while_the_disk_hangs_it_ends_when_it_can(upstream: FakeRegistry, program: Program, tmp_path: Path) -> None:
    """Before that nobody could make it: who waits for a disk cannot be killed."""
    cold = upstream.add_blob(NAME, COLD[0])
    with frozen(tmp_path / "store"):
        assert await program.ask(_path(f"blobs/{cold}")) == (200, COLD[0])
        program.tell(signal.SIGTERM)
        await program.until(lambda: "draining" in program.log())
    assert await program.ended() == 0


async def _says(program: Program, words: str) -> bool:
    status, text = await program.admin("/readyz")
    return status == 200 and words in text


async def _are_kept(program: Program, paths: list[str]) -> bool:
    """Pull again, which is what has them kept, and see whether upstream is asked no more."""
    before = await program.metric("regproxy_upstream_requests_total")
    for path in paths:
        assert (await program.ask(path))[0] == 200
    return before == await program.metric("regproxy_upstream_requests_total")
