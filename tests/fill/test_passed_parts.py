"""Parts that clients wait for come before fills that nobody waits for."""

import asyncio
from pathlib import Path

import pytest

from regproxy.fill.passed_parts import PassedParts, Pauses
from tests.fakes.registry import FakeRegistry
from tests.fill.test_download import Others
from tests.fill.test_fills import APP, BLOB, Process, processes

NEVER = 1e9  # seconds


def _parts(process: Process, limit: float = NEVER) -> PassedParts:
    parts = PassedParts(limit)
    process.fills.parts = {"docker.io": parts}
    parts.begin()
    return parts


async def test_n13_23_a_fill_that_nobody_waits_for_gives_way(tmp_path: Path) -> None:
    async with FakeRegistry() as upstream, processes(tmp_path / "store", upstream, count=1) as (process,):
        digest, other = upstream.add_blob("library/app", BLOB), upstream.add_blob("library/app", b"other")
        parts = _parts(process)
        process.fills.begin(APP, digest)
        assert await process.pull(other) == b"other", "a fill that somebody waits for goes on"
        assert upstream.count("GET", "blobs", str(digest)) == 0
        parts.end()
        await process.fills.idle()
        assert upstream.count("GET", "blobs", str(digest)) == 1


async def test_n13_23_who_begins_to_wait_for_a_fill_wakes_it(tmp_path: Path) -> None:
    async with FakeRegistry() as upstream, processes(tmp_path / "store", upstream, count=1) as (process,):
        digest = upstream.add_blob("library/app", BLOB)
        parts = _parts(process)
        process.fills.begin(APP, digest)
        for _ in range(100):
            await asyncio.sleep(0)
        assert await process.pull(digest) == BLOB
        parts.end()


async def test_n13_23_who_waits_in_another_process_wakes_it_too(tmp_path: Path) -> None:
    async with FakeRegistry() as upstream, processes(tmp_path / "store", upstream) as (process, other):
        digest = upstream.add_blob("library/app", BLOB)
        parts = _parts(process)
        process.fills.begin(APP, digest)
        while digest not in await process.store.ingesting():  # noqa: ASYNC110  a store tells nobody
            await asyncio.sleep(0)
        assert await other.pull(digest) == BLOB
        assert upstream.count("GET", "blobs", str(digest)) == 1
        parts.end()


async def test_n13_23_a_fill_is_not_starved(tmp_path: Path) -> None:
    async with FakeRegistry() as upstream, processes(tmp_path / "store", upstream, count=1) as (process,):
        digest = upstream.add_blob("library/app", BLOB)
        _parts(process, limit=0.01)
        process.fills.begin(APP, digest)
        await process.fills.idle()
        assert await process.pull(digest) == BLOB


@pytest.mark.parametrize("count", [1, 3])
async def test_n13_23_the_last_part_lets_fills_go_on(count: int) -> None:
    parts, is_wanted = PassedParts(NEVER), False
    for _ in range(count):
        parts.begin()
    waiting = asyncio.create_task(parts.passed(lambda: is_wanted))
    for _ in range(count):
        await asyncio.sleep(0)
        assert parts.holds(lambda: is_wanted)
        assert not waiting.done()
        parts.end()
    await waiting


async def test_what_several_pieces_wait_is_counted_once() -> None:
    others, counted = Others(1), list[float]()
    pauses = Pauses(others, counted.append)
    assert pauses.are_due()
    pieces = [asyncio.create_task(pauses.over()) for _ in range(3)]
    await others.waited_for.wait()
    pieces[0].cancel()
    await asyncio.wait({pieces[0]})
    assert pauses.are_on
    assert not counted
    others.over.set()
    await asyncio.gather(*pieces[1:])
    assert len(counted) == 1


async def test_a_download_that_goes_before_all_others_never_waits() -> None:
    counted = list[float]()
    pauses = Pauses(None, counted.append)
    await pauses.over()
    assert (pauses.are_due(), pauses.may_come(), pauses.are_on) == (False, False, False)
    assert not counted
