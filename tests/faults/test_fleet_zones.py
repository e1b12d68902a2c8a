"""Members in two zones, between which traffic costs money."""

import asyncio
import os
from contextlib import AsyncExitStack
from pathlib import Path

from regproxy.telemetry import metrics
from tests.fakes.fleet import fleet
from tests.fakes.member import Member
from tests.fakes.registry import FakeRegistry
from tests.rig import Rig

NAME = "library/app"
MIB = 1024 * 1024
ZONES = {number: {"zone": "ab"[number % 2]} for number in range(6)}


async def _located(rigs: list[Rig], count: int) -> None:
    """Wait until each of *rigs* knows *count* zones."""
    async with asyncio.timeout(300):
        for each in rigs:
            while sum(bool(member["zone"]) for member in (await each.admin("fleet"))[1]["fleet"]["members"]) < count:  # noqa: ASYNC110
                await asyncio.sleep(0.05)


async def _pulled(rigs: list[Rig], upstream: FakeRegistry, blob: bytes) -> None:
    path = f"/v2/{NAME}/blobs/{upstream.add_blob(NAME, blob)}"
    answers = await asyncio.gather(*(each.ask(path) for each in rigs))
    assert [(each.status, each.is_whole, each.body == blob) for each in answers] == [(200, True, True)] * len(rigs)
    await asyncio.gather(*(each.settled() for each in rigs))


async def test_n17_02_a_cold_blob_crosses_into_the_other_zone_once(tmp_path: Path) -> None:
    blob = os.urandom(12 * MIB + 345)
    async with FakeRegistry() as upstream, fleet(tmp_path, {"docker.io": upstream.url}, 6, own=ZONES) as rigs:
        await _located(rigs, 6)
        before = metrics.FLEET_OTHER_ZONE_BYTES._value.get()
        await _pulled(rigs, upstream, blob)
        assert upstream.sent_blob_bytes() == len(blob)
        assert metrics.FLEET_OTHER_ZONE_BYTES._value.get() - before <= 1.1 * len(blob)


async def test_n17_02_with_all_members_of_a_zone_dead_the_other_pulls_on(tmp_path: Path) -> None:
    blob = os.urandom(6 * MIB + 345)
    own = {number: {"zone": "a"} for number in range(3)}
    async with FakeRegistry() as upstream, AsyncExitStack() as zone:
        others = [await zone.enter_async_context(Member(lambda _: b"", zone="b")) for _ in range(3)]
        async with fleet(tmp_path, {"docker.io": upstream.url}, 3, more=[each.url for each in others], own=own) as rigs:
            await _located(rigs, 6)
            await zone.aclose()
            await _pulled(rigs, upstream, blob)
            assert upstream.sent_blob_bytes() == len(blob)
