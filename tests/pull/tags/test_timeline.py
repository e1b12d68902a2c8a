"""History, cooldown, deletion and rollback as one table of events, over restarts, the loss of the index, and two replicas."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from tests.fakes.registry import FakeRegistry
from tests.fleet.redis_server import RedisServer
from tests.pull.tags.timeline import Timeline, pulled, served
from tests.rig import Rig

PATTERN = "docker.io/library/app:1"

# The day, what happens, what the tag is served as then, and how Cache-Status says so.
EVENTS = [
    (0, "push v1", "v1", ""),
    (1, "push v2", "v1", "cooldown"),
    (3.9, "", "v1", "cooldown"),
    (4, "", "v2", ""),
    (5, "push v3", "v2", "cooldown"),
    (6, "delete", "v2", "gone"),
    (8, "", "v3", "gone"),
    (9, "rollback", "v2", "frozen"),
    (10, "unfreeze", "v3", "gone"),
    (12, "push v4", "v3", "cooldown"),
    (13, "push v2", "v2", ""),  # it was known long ago
    (20, "delete", "v2", "gone"),
    (49.9, "", "v2", "gone"),
    (50, "", "404", ""),
    (51, "push v4", "v4", ""),
]


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.stop()


class Replicas:
    """Two replicas, interrupted after each event."""

    def __init__(self, timeline: Timeline, interruption: str) -> None:
        self._timeline = timeline
        self._interruption = interruption
        self._stack = AsyncExitStack()
        self._open: dict[str, Rig] = {}

    async def get(self, name: str) -> Rig:
        if name not in self._open:
            self._open[name] = await self._stack.enter_async_context(self._timeline.replica(name))
        return self._open[name]

    async def interrupt(self) -> None:
        if self._interruption == "none":
            return
        names = list(self._open)
        await self.close()
        for name in names:
            if self._interruption == "lost index":
                self._timeline.lose_index(name)

    async def close(self) -> None:
        self._open.clear()
        await self._stack.aclose()


@asynccontextmanager
async def replicas(timeline: Timeline, interruption: str) -> AsyncIterator[Replicas]:
    found = Replicas(timeline, interruption)
    try:
        yield found
    finally:
        await found.close()


@pytest.mark.parametrize("interruption", ["none", "restart", "lost index"])
async def test_n18_09_what_a_tag_is_served_as_follows_from_what_happened_alone(
    upstream: FakeRegistry, tmp_path: Path, redis: RedisServer, interruption: str
) -> None:
    shared = {"url": redis.url, "key": f"canary-key-0123456789abcdef0123456789abcdef {tmp_path}", "timeout": "30s"}
    timeline = Timeline(upstream, tmp_path, {"cooldown": "3d", "gone_for": "30d", "missing_for": "0s"}, settings={"redis": shared})
    began, digests, seen = timeline.now[0], dict[str, str](), list[tuple[float, str, str, str]]()
    timeline.push("other", "other")
    async with replicas(timeline, interruption) as both:
        for day, event, _, _ in EVENTS:
            timeline.now[0] = began + day * 86_400
            what, _, layer = event.partition(" ")
            names = ("one", "two") if day >= 5 else ("one",)  # the other one never saw what was before
            for name in names:
                await pulled(await both.get(name), "other")
                if what == "rollback":
                    assert (await (await both.get(name)).admin("rollback", "POST", {"image": "app:1"}))[0] == 200
                if what == "unfreeze":
                    assert (await (await both.get(name)).admin(f"freezes?pattern={PATTERN}", "DELETE"))[0] == 204
            if what == "push":
                digests[timeline.push(layer)] = layer
            elif what == "delete":
                timeline.delete()
            found = [await served(await both.get(name)) for name in names]
            meant = {(digests.get(digest, digest), status.partition("detail=")[2]) for digest, status in found}
            assert len(meant) == 1, f"replicas disagree on day {day}: {found}"
            seen.append((day, event, *next(iter(meant))))
            await both.interrupt()
    assert seen == EVENTS
