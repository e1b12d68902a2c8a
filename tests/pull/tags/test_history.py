"""When a meaning was first seen: by us or by another replica, before a restart or before the index was lost."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.registry import FakeRegistry
from tests.fleet.redis_server import RedisServer
from tests.pull.tags.timeline import NAME, Timeline, pulled, served
from tests.rig import Rig

KEY = "canary-key-0123456789abcdef0123456789abcdef"


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def timeline(upstream: FakeRegistry, tmp_path: Path, redis: RedisServer) -> Timeline:
    shared = {"url": redis.url, "key": f"{KEY}{tmp_path}", "timeout": "30s"}
    return Timeline(upstream, tmp_path, {"cooldown": "3d"}, settings={"redis": shared})


async def history(proxy: Rig) -> list[tuple[str, float]]:
    return [(each["digest"], each["since"]) for each in (await proxy.admin("tag-history?image=app:1"))[1]["meanings"]]


async def test_n18_07_replicas_agree_on_what_was_seen_first_and_when(timeline: Timeline) -> None:
    began = timeline.now[0]
    async with timeline.replica("one") as one:
        old = timeline.push("old")
        assert (await served(one))[0] == old
        timeline.passed(1)
        new = timeline.push("new")
        assert (await served(one))[0] == old
    timeline.passed(1)
    async with timeline.replica("two") as two:
        assert (await served(two))[0] == old, "to a replica that never saw the tag, what it means now is not its first meaning"
        known = await history(two)
        assert [digest for digest, _ in known] == [new, old]
        assert [since - began for _, since in known] == pytest.approx([86_400.0, 0.0])
        timeline.passed(2)
        assert (await served(two))[0] == new


async def test_n18_07_a_replica_that_saw_a_meaning_later_learns_when_another_saw_it(timeline: Timeline) -> None:
    async with timeline.replica("one") as one, timeline.replica("two") as two:
        old = timeline.push("old")
        for replica in (one, two):
            await pulled(replica)
        timeline.passed(1)
        new = timeline.push("new")
        assert (await served(one))[0] == old
        timeline.passed(2)
        assert (await served(two))[0] == old
        timeline.passed(1)
        assert [(await served(replica))[0] for replica in (one, two)] == [new, new]
        assert await history(one) == await history(two)


async def test_n18_07_without_redis_each_goes_by_what_it_saw(timeline: Timeline) -> None:
    timeline.settings = {}
    async with timeline.replica("one") as one, timeline.replica("two") as two:
        old = timeline.push("old")
        await pulled(one)
        new = timeline.push("new")
        assert [(await served(replica))[0] for replica in (one, two)] == [old, new]


@pytest.mark.parametrize("has_upstream", [True, False], ids=["still upstream", "no longer upstream"])
async def test_n18_07_a_restart_and_a_lost_index_forget_nothing(timeline: Timeline, *, has_upstream: bool) -> None:
    timeline.settings = {}
    async with timeline.replica() as proxy:
        old = timeline.push("old")
        await pulled(proxy)
        timeline.passed(1)
        new = timeline.push("new")
        assert (await served(proxy))[0] == old
    async with timeline.replica() as proxy:
        assert (await served(proxy))[0] == old
    if not has_upstream:
        held = timeline.upstream.repositories[NAME].manifests
        for digest in [each for each in held if str(each) == old]:
            del held[digest]
    timeline.lose_index()
    async with timeline.replica() as proxy:
        while len(await proxy.ledger.images()) < 2:
            await proxy.proxy.store.look()
        assert (await served(proxy))[0] == old
        timeline.passed(3)
        assert (await served(proxy))[0] == new
