"""A herd: many clients, one cold blob. The figures of a paced one are in bench/herd.py; here is what must hold at any speed."""

import asyncio
import os
from pathlib import Path

from tests.fakes.deeds import Stall
from tests.fakes.entry import on
from tests.fakes.loader import Loader
from tests.fakes.program import Program
from tests.fakes.registry import FakeRegistry
from tests.rig import LOOPBACK, get, raw, rig

NAME = "library/app"
CLIENTS = 300
CROWD = 2000
BLOB = os.urandom(4 * 1024 * 1024)  # what comes with the first request


async def test_b6_a_herd_is_one_request_one_token_and_everyone_reads_along(tmp_path: Path) -> None:
    """While upstream has sent only a part, each of them has had a byte of it."""
    async with FakeRegistry("anonymous") as upstream:
        digest = upstream.add_blob(NAME, BLOB)
        stall = Stall(1024 * 1024)
        upstream.misbehave(on("GET", "/blobs/"), stall)
        async with rig(tmp_path / "store", {"docker.io": upstream.url}, timeouts={"silence": "60s"}) as proxy:
            path = f"/v2/{NAME}/blobs/{digest}?ns=docker.io"
            reading = [asyncio.create_task(proxy.ask(path)) for _ in range(CLIENTS)]
            first_bytes = await asyncio.gather(*(raw(proxy.port, get(path), read=64 * 1024) for _ in range(20)))
            assert all(BLOB.startswith(answer.body) and answer.body for answer in first_bytes)
            stall.event.set()
            assert [answer.body == BLOB for answer in await asyncio.gather(*reading)] == [True] * CLIENTS
        assert (upstream.count("GET", "blobs"), upstream.count("HEAD", "blobs")) == (2, 0), "one of them without a token"
        assert upstream.sent_blob_bytes() == len(BLOB)
        assert len(upstream.issued) == 1


async def test_c03_a_crowd_that_leaves_at_once_takes_nobody_along(tmp_path: Path) -> None:
    """The fill goes on, with who is left; other clients are answered; nothing of those who left is kept. bench/leave.py has the figures."""
    async with FakeRegistry("anonymous") as upstream:
        digest, image = upstream.add_blob(NAME, BLOB), upstream.add_image(NAME, "1", [b"layer"])
        stall = Stall(1024 * 1024)
        upstream.misbehave(on("GET", f"/blobs/{digest}"), stall)
        timeouts = {"silence": "60s", "progress": "60s"}
        program = Program(tmp_path, {"docker.io": {"hosts": [{"url": upstream.url}]}}, timeouts=timeouts)
        path, stop = f"/v2/{NAME}/blobs/{digest}", asyncio.Event()
        loader = Loader(program.port, f"/v2/{NAME}/manifests/1", upstream.repositories[NAME].manifests[image.digest].body)
        async with program.running():
            descriptors = _descriptors(program)
            reading = asyncio.create_task(raw(program.port, get(path)))
            crowd = [await asyncio.open_connection(LOOPBACK, program.port) for _ in range(CROWD)]
            for _, writer in crowd:
                writer.write(get(path))
            await asyncio.gather(*(reader.readexactly(1000) for reader, _ in crowd))
            loading = asyncio.create_task(loader.run(stop))
            for _, writer in crowd:
                writer.transport.abort()
            await program.until(lambda: _descriptors(program) < descriptors + 50)
            answers = loader.answers
            await program.until(lambda: loader.answers > answers)
            stall.event.set()
            assert (await reading).body == BLOB
            stop.set()
            await loading
        assert loader.failures == []
        assert upstream.sent_blob_bytes() == len(BLOB)
    assert [line for line in program.lines() if line["level"] in ("warning", "error", "critical")] == []


def _descriptors(program: Program) -> int:
    """Count what all workers have open."""
    return sum(len(list(Path(f"/proc/{worker}/fd").iterdir())) for worker in program.workers())
