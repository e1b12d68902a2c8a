"""Parts of what another process copies: that one brings them."""

import asyncio
from pathlib import Path

import pytest

from regproxy.fill import peer_parts
from regproxy.ports import Full
from tests.fakes.deeds import Stall
from tests.fakes.registry import FakeRegistry
from tests.fill.test_ahead import LARGE, LONG, SIZE, digest_of, is_first, read_part
from tests.fill.test_fills import APP, MIB, processes, some


async def test_n19_06_the_process_that_copies_brings_the_parts_of_all(tmp_path: Path) -> None:
    async with FakeRegistry() as upstream, processes(tmp_path / "store", upstream) as (one, other):
        digest, stall = digest_of(upstream), Stall(1000)
        upstream.misbehave(is_first, stall)
        pulling = asyncio.create_task(one.pull(digest))
        await stall.reached.wait()
        places = [(8 * MIB, SIZE), (5 * MIB, 6 * MIB), (5 * MIB + 5, 7 * MIB)]
        bodies = await asyncio.gather(*(read_part(each, digest, *place) for place in places for each in (one, other)))
        assert bodies == [LARGE[start:stop] for start, stop in places for _ in (one, other)]
        stall.event.set()
        assert await pulling == LARGE
        assert await other.pull(digest) == LARGE
        assert upstream.sent_blob_bytes() <= SIZE + 4 * MIB, "what had been asked for in order is left where the first part begins"


async def test_who_succeeds_a_process_has_what_it_brought_ahead_of_its_turn(tmp_path: Path) -> None:
    async with FakeRegistry() as upstream, processes(tmp_path / "store", upstream) as (one, other):
        digest, stall = digest_of(upstream), Stall(1000)
        upstream.misbehave(is_first, stall, times=1)
        one.fills.begin(APP, digest)
        await stall.reached.wait()
        part = other.fills.begin(APP, digest).part([(4 * MIB, SIZE)], LONG, lambda: None)
        await part.started()
        begin = await some(part, 4 * MIB)
        while 4 * MIB + len(begin) < SIZE:
            begin += await some(part, 4 * MIB + len(begin))
        assert begin == LARGE[4 * MIB :]
        await one.fills.drain(0)
        assert await other.pull(digest) == LARGE
        part.release()
        assert upstream.sent_blob_bytes() <= SIZE + 4 * MIB + 1001


async def test_a_part_that_the_other_process_does_not_bring_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer_parts, "_MAX_WAIT", 0.01)
    async with FakeRegistry() as upstream, processes(tmp_path / "store", upstream) as (one, other):
        digest, stall = digest_of(upstream), Stall(1000)
        upstream.misbehave("/blobs/", stall)
        pulling = asyncio.create_task(one.pull(digest))
        await stall.reached.wait()
        with pytest.raises(Full):
            await read_part(other, digest, 5 * MIB, 6 * MIB)
        stall.event.set()
        assert await pulling == LARGE
        await other.fills.idle()
