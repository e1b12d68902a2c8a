"""Killed in the middle of a fill, by SIGKILL: what was fetched is used, and is no more believed than before.

REGPROXY_KILLS says how many random moments are tried.
"""

import asyncio
import os
import random
import signal
import sys
from pathlib import Path

import pytest

from tests.fakes.deeds import Delay, Paced, Stall
from tests.fakes.entry import on
from tests.fakes.program import Program
from tests.fakes.registry import FakeRegistry
from tests.fakes.volume import taken
from tests.free_port import free_port
from tests.rig import get, raw
from tests.serving import serving

NAME = "library/app"
SIZE = 96 * 1024 * 1024
TRIP = 0.16  # seconds: more connections help where a connection is slow because its upstream is far
KILLS = int(os.environ.get("REGPROXY_KILLS", "1"))


@pytest.mark.parametrize("seed", range(KILLS))
@pytest.mark.parametrize("rate", [40_000_000, 8_000_000], ids=["one connection", "several"])
async def test_what_was_fetched_before_a_kill_is_used(tmp_path: Path, seed: int, rate: int) -> None:
    """The moment is anyone's; what is lost is what had not reached the file, under a tenth of it with several connections."""
    blob = os.urandom(SIZE)
    seen = random.Random(seed).randrange(SIZE // 10, SIZE * 9 // 10)
    async with FakeRegistry() as upstream:
        digest = upstream.add_blob(NAME, blob)
        upstream.misbehave(on("GET", "/blobs/"), Delay(TRIP), Paced(rate))
        port, path = free_port(), f"/v2/{NAME}/blobs/{digest}?ns=docker.io"
        program = await serving(tmp_path, upstream.url, port)
        assert len((await raw(port, get(path), read=seen)).body) >= seen - 1000
        program.kill()
        await program.wait()
        program = await serving(tmp_path, upstream.url, port)
        try:
            assert (await raw(port, get(path))).body == blob
        finally:
            program.terminate()
            await program.wait()
        again = [entry.headers["range"] for entry in upstream.ledger if entry.kind == "blobs" and "range" in entry.headers]
        starts = [int(header.removeprefix("bytes=").partition("-")[0]) for header in again]
        assert starts[1:].count(0) == 0, "nothing is fetched from its beginning again"
        sys.stdout.write(f"\nkilled at {seen / SIZE:.2f}: {upstream.sent_blob_bytes() / SIZE:.3f} times the bytes\n")
        assert upstream.sent_blob_bytes() <= 1.1 * SIZE
        assert list((tmp_path / "store" / "ingest").iterdir()) == []


@pytest.mark.parametrize("seed", range(KILLS))
async def test_n19_06_what_was_fetched_ahead_of_its_turn_before_a_kill_is_used(tmp_path: Path, seed: int) -> None:
    """Here some ranges were asked for, and nothing is lost that a client has seen."""
    blob = os.urandom(SIZE)
    places = [(start, start + SIZE // 12) for start in random.Random(seed).sample(range(SIZE // 10, SIZE * 9 // 10, 4096), 6)]
    async with FakeRegistry() as upstream:
        digest = upstream.add_blob(NAME, blob)
        upstream.misbehave(on("GET", "/blobs/"), Paced(40_000_000))
        port, path = free_port(), f"/v2/{NAME}/blobs/{digest}?ns=docker.io"
        program = await serving(tmp_path, upstream.url, port)
        bodies = await asyncio.gather(*(raw(port, get(path, Range=f"bytes={start}-{stop - 1}")) for start, stop in places))
        assert [each.body for each in bodies] == [blob[start:stop] for start, stop in places]
        program.kill()
        await program.wait()
        before = upstream.sent_blob_bytes()
        program = await serving(tmp_path, upstream.url, port)
        try:
            assert (await raw(port, get(path))).body == blob
        finally:
            program.terminate()
            await program.wait()
        sys.stdout.write(f"\nkilled at {before / SIZE:.2f}: {upstream.sent_blob_bytes() / SIZE:.3f} times the bytes\n")
        assert upstream.sent_blob_bytes() <= 1.1 * SIZE
        assert list((tmp_path / "store" / "ingest").iterdir()) == []


async def test_d31_what_killed_workers_have_left_takes_no_more_than_fits(tmp_path: Path) -> None:
    """Their successors know nothing of it: whoever looks at the directory does, and counts it until somebody goes on with it."""
    limit, size, seen = 8 * 1024 * 1024, 400_000, 300_000
    async with FakeRegistry() as upstream:
        paths = [f"/v2/{NAME}/blobs/{upstream.add_blob(NAME, os.urandom(size))}?ns=docker.io" for _ in range(38)]
        store = {"root": str(tmp_path / "store"), "max_size": f"{limit}B"}
        program = Program(tmp_path, {"docker.io": {"hosts": [{"url": upstream.url}]}}, store=store)
        async with program.running():
            upstream.misbehave(on("GET", "/blobs/"), Stall(seen))
            workers = set(program.workers())
            await asyncio.gather(*(raw(program.port, get(path), read=seen - 1000) for path in paths[20:]))
            for pid in workers:
                os.kill(pid, signal.SIGKILL)
            await program.until(lambda: len(workers) == len(program.workers()) and workers.isdisjoint(program.workers()))
            await program.until(program.are_all_accepting)
            upstream.behave()
            left = taken(tmp_path / "store")
            for path in paths[:20]:
                assert len((await raw(program.port, get(path))).body) == size
                assert limit // 2 < taken(tmp_path / "store") <= limit
            assert left > limit // 2
