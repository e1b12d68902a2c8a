"""Members in two zones, between which traffic costs money."""

import asyncio
import json
import os
import signal
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import pytest

from regproxy.telemetry import metrics
from tests.fakes.deeds import Paced
from tests.fakes.entry import on
from tests.fakes.fleet import KEY, fleet
from tests.fakes.member import Member
from tests.fakes.program import Program
from tests.fakes.registry import FakeRegistry
from tests.rig import LOOPBACK, PATIENT, Rig

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


@pytest.mark.parametrize("zones", ["abbb", "aabc", "abcd", "a-bb"])
async def test_n17_02_a_zone_of_one_a_zone_for_each_and_members_without_a_zone_fetch_once_together(tmp_path: Path, zones: str) -> None:
    blob = os.urandom(8 * MIB + 345)
    own = {number: {"zone": zone.strip("-")} for number, zone in enumerate(zones)}
    async with FakeRegistry() as upstream, fleet(tmp_path, {"docker.io": upstream.url}, 4, own=own) as rigs:
        await _located([each for each, zone in zip(rigs, zones, strict=True) if zone != "-"], 4 - zones.count("-"))
        await _pulled(rigs, upstream, blob)
        assert upstream.sent_blob_bytes() == len(blob)


async def test_n17_03_members_whose_zones_change_all_the_time_cost_a_second_fetch_at_most(tmp_path: Path) -> None:
    """So it is where they come and go under other zones, and no two members believe the same of them."""
    blob = os.urandom(24 * MIB)
    async with FakeRegistry() as upstream, fleet(tmp_path, {"docker.io": upstream.url}, 4, own=ZONES) as rigs:
        await _located(rigs, 4)
        memberships = [each.proxy.handlers.members.exchange.membership for each in rigs if each.proxy.handlers.members]
        assert len(memberships) == 4

        async def flap() -> None:
            for number in range(10**9):
                for each, membership in enumerate(memberships):
                    others = set(membership.ring.members) - {membership.ring.us}
                    membership.locate({other: "abc"[(number + each + place) % 3] for place, other in enumerate(sorted(others))})
                await asyncio.sleep(0.001)

        flapping = asyncio.create_task(flap())
        await _pulled(rigs, upstream, blob)
        flapping.cancel()
        assert upstream.sent_blob_bytes() <= 2 * len(blob)


async def test_n17_03_of_real_members_in_three_zones_one_is_killed_in_the_middle_and_is_back_in_another_zone(tmp_path: Path) -> None:
    first, second = os.urandom(8 * MIB), os.urandom(8 * MIB)
    async with FakeRegistry() as upstream:
        digests = upstream.add_blob(NAME, first), upstream.add_blob(NAME, second)
        programs = []
        for zone in "abc":
            (tmp_path / zone).mkdir()
            programs.append(Program(tmp_path / zone, {"docker.io": {"hosts": [{"url": upstream.url}]}}, timeouts=PATIENT))
        peers = [f"http://{LOOPBACK}:{each.port}" for each in programs]
        for each, zone in zip(programs, "abc", strict=True):
            each.settings["fleet"] = {"peers": peers, "key": KEY, "timeout": "10s", "zone": zone}

        async def knows_zones(asked: Program, zones: str) -> bool:
            members = json.loads((await asked.admin("/api/v1/fleet"))[1])["fleet"]["members"]
            return {each["zone"] for each in members} == set(zones)

        async with programs[0].running(), programs[1].running(), programs[2].running():
            for each in programs:
                await each.until(partial(knows_zones, each, "abc"))
            upstream.misbehave(on("GET", str(digests[0])), Paced(2 * MIB))
            pulling = [asyncio.create_task(each.ask(f"/v2/{NAME}/blobs/{digests[0]}")) for each in programs[:2] for _ in range(2)]
            await programs[0].until(lambda: upstream.sent_blob_bytes() > 2 * MIB)
            programs[2].tell(signal.SIGKILL)
            assert [answer == (200, first) for answer in await asyncio.gather(*pulling)] == [True] * 4
            assert upstream.sent_blob_bytes() <= 2 * len(first)
            await programs[2].ended()
            programs[2].configure(fleet={"peers": peers, "key": KEY, "timeout": "10s", "zone": "b"})
            async with programs[2].running():
                for each in programs:
                    await each.until(partial(knows_zones, each, "ab"))
                before = upstream.sent_blob_bytes()
                pulls = [each.ask(f"/v2/{NAME}/blobs/{digests[1]}") for each in programs for _ in range(2)]
                assert [answer == (200, second) for answer in await asyncio.gather(*pulls)] == [True] * 6
                assert upstream.sent_blob_bytes() - before <= 2 * len(second)
