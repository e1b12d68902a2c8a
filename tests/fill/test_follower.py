"""Whoever reads a copy in order says how far it is."""

import asyncio

import pytest

from regproxy.ports import NotFound
from tests.fill.test_fill import Bytes, filling


async def test_a_follower_that_only_waits_for_the_end_keeps_nobody() -> None:
    fill, incoming = filling(), Bytes()
    fill.begin(incoming, 10, 0)
    follower = fill.follow()
    assert (follower.size, follower.is_kept, incoming.slowest()) == (10, False, 0)
    waiting = asyncio.create_task(follower.over())
    await asyncio.sleep(0)
    position = incoming.slowest()
    assert position is not None
    assert position > 10
    fill.reach(10)
    fill.verified()
    assert not waiting.done()
    fill.end()
    await waiting
    follower.release()
    assert incoming.file.closed


async def test_a_follower_hears_what_keeps_the_blob_from_coming() -> None:
    fill = filling()
    follower = fill.follow()
    fill.fail(NotFound("gone"))
    for waiting in (follower.started(), follower.extent(0, 1)):
        with pytest.raises(NotFound):
            await waiting
    await follower.spoiled()
    follower.release()
    fill.end()
