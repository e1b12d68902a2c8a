"""What went wrong in other caches (FAULTS.md 2.2), where no other row shows it; by row."""

import asyncio
import os
import threading
from pathlib import Path

from tests.fakes.deeds import Lie, Paced
from tests.fakes.entry import on
from tests.fakes.registry import FakeRegistry
from tests.rig import Rig, rig

NAME = "library/app"
MIB = 1024 * 1024


def _blob(digest: object) -> str:
    return f"/v2/{NAME}/blobs/{digest}?ns=docker.io"


async def test_b4_everyone_who_waits_learns_that_it_failed_and_the_next_ask_begins_anew(upstream: FakeRegistry, proxy: Rig) -> None:
    """Zot #3344: the error goes to one of those who wait, the others hang or take silence for success."""
    body = os.urandom(MIB)
    digest = upstream.add_blob(NAME, body)
    upstream.misbehave(on("GET", "/blobs/"), Paced(4 * MIB), Lie(bytes(MIB)))
    answers = await asyncio.gather(*(proxy.ask(_blob(digest)) for _ in range(50)))
    assert [answer.status == 200 and answer.is_whole for answer in answers] == [False] * 50
    await proxy.settled()
    upstream.behave()
    assert (await proxy.ask(_blob(digest))).body == body


async def test_b5_what_a_kill_left_behind_keeps_nobody_waiting(upstream: FakeRegistry, tmp_path: Path) -> None:
    """Zot #4357: after a restart with 18 GiB of stale staging every tag request hangs, and health is green."""
    ingest = tmp_path / "store" / "ingest"
    digest = upstream.add_blob(NAME, os.urandom(MIB))
    upstream.add_image(NAME, "1", [b"layer"])
    async with rig(tmp_path / "store", {"docker.io": upstream.url}):
        pass
    (ingest / f"{digest.hex}.stale").write_bytes(os.urandom(2 * MIB))
    (ingest / f"{digest.hex}.empty").touch()
    (ingest / f"{digest.hex}.folder").mkdir()
    os.mkfifo(ingest / f"{digest.hex}.pipe")
    async with rig(tmp_path / "store", {"docker.io": upstream.url}) as proxy:
        assert (await proxy.ask(f"/v2/{NAME}/manifests/1?ns=docker.io")).status == 200
        assert len((await proxy.ask(_blob(digest))).body) == MIB
        await proxy.settled()
        assert (await proxy.ask(_blob(digest))).headers["Cache-Status"] == "regproxy; hit"
        assert [path.name for path in await asyncio.to_thread(lambda: list(ingest.iterdir())) if path.is_dir()] == []


async def test_b13_many_fills_at_once_take_no_thread_each(upstream: FakeRegistry, proxy: Rig) -> None:
    """bazel-remote #479: a thread for each call that the disk keeps waiting, ten thousand of them, and a crash."""
    bodies = [os.urandom(64 * 1024) for _ in range(300)]
    digests = [upstream.add_blob(NAME, body) for body in bodies]
    pulls = asyncio.gather(*(proxy.ask(_blob(digest)) for digest in digests))
    most = 0
    while not pulls.done():
        most = max(most, threading.active_count())
        await asyncio.wait([pulls], timeout=0.01)
    assert [answer.body == body for answer, body in zip(await pulls, bodies, strict=True)] == [True] * 300
    assert most < 100
