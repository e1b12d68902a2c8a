"""Tags that are moved, flapped and asked for so that a rule forgets what it goes by."""

from pathlib import Path

import pytest

from regproxy.oci.reference import Repository
from tests.fakes.registry import FakeRegistry
from tests.pull.tags.timeline import DAY, NAME, Timeline, pulled, served
from tests.rig import Rig

MINUTE = 1 / 1440


@pytest.fixture
def timeline(upstream: FakeRegistry, tmp_path: Path) -> Timeline:
    return Timeline(upstream, tmp_path, {"cooldown": "3d", "gone_for": "30d", "missing_for": "0s"})


async def rows(proxy: Rig) -> int:
    return sum(map(len, (await proxy.proxy.index.histories(Repository("docker.io", NAME))).values()))


async def test_n18_13_a_registry_that_flaps_each_minute_serves_nothing_sooner_and_forgets_nothing(timeline: Timeline) -> None:
    async with timeline.replica() as proxy:
        first = timeline.push("first")
        assert (await served(proxy))[0] == first
        timeline.passed(4)
        for number in range(52):
            new = timeline.push("new")
            assert (await served(proxy))[0] == first
            assert timeline.push("first") == first
            timeline.passed(MINUTE)
            assert (await served(proxy))[0] == first, f"flap {number}"
            timeline.passed(MINUTE)
        assert await rows(proxy) <= 100
    async with timeline.replica() as proxy:
        timeline.push("new")
        assert (await served(proxy))[0] == first
        timeline.passed(3 - 104 * MINUTE)
        assert (await served(proxy))[0] == new, "it is known for three days since it was seen first, however often it went"
        timeline.push("first")
        assert (await served(proxy))[0] == first, "and both are known for so long now"


async def test_n18_13_a_tag_that_moves_on_each_minute_does_not_push_out_what_is_served(timeline: Timeline) -> None:
    async with timeline.replica() as proxy:
        first = timeline.push("first")
        await pulled(proxy)
        for number in range(105):
            timeline.passed(MINUTE)
            timeline.push(f"new {number}")
            assert (await served(proxy))[0] == first
        assert await rows(proxy) == 100


async def test_n18_13_a_clock_that_was_ahead_and_is_set_back_delays_nothing_for_longer_than_a_cooldown(timeline: Timeline) -> None:
    async with timeline.replica() as proxy:
        old = timeline.push("old")
        await pulled(proxy)
        timeline.passed(20)
        new = timeline.push("new")
        assert (await served(proxy))[0] == old
        timeline.passed(-15)
        assert (await served(proxy))[0] == old
        timeline.passed(2.9)
        assert (await served(proxy))[0] == old
        timeline.passed(0.1)
        assert (await served(proxy))[0] == new


async def test_n18_13_tags_that_are_not_there_leave_no_rows_and_those_that_are_leave_one(timeline: Timeline) -> None:
    async with timeline.replica() as proxy:
        for number in range(60):
            assert (await served(proxy, f"absent-{number}"))[0] == "404"
        assert await rows(proxy) == 0
        for number in range(12):
            timeline.push("there", f"there-{number}")
            for _ in range(2):
                await served(proxy, f"there-{number}")
        assert await rows(proxy) == 12
        for number in range(12):
            timeline.delete(f"there-{number}")
            for _ in range(3):
                timeline.passed(1)
                assert (await served(proxy, f"there-{number}"))[0] == "404", "no other manifest is known"
        assert await rows(proxy) == 12


async def test_n18_13_a_tag_that_is_deleted_and_pushed_again_each_hour_stays_bounded_and_cools_down(timeline: Timeline) -> None:
    async with timeline.replica() as proxy:
        old = timeline.push("old")
        timeline.push("other", "other")
        for tag in ("1", "other"):
            await pulled(proxy, tag)
        timeline.passed(3)
        began = timeline.now[0]
        for _ in range(70):
            timeline.passed(1 / 48)
            timeline.delete()
            assert await served(proxy) == (old, "detail=gone")
            timeline.passed(1 / 48)
            timeline.push("new")
            assert (await served(proxy))[0] == old
        assert timeline.now[0] - began < 3 * DAY
        assert await rows(proxy) <= 100 + 1
