"""Tags that are to be looked at again: each once for many events, the last event always counts, and no faster than the rate."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from regproxy.oci.reference import Reference, Repository, Tag
from regproxy.policy.clients.token_bucket import Rate
from regproxy.warming.looks import MAX_WAITING, Looks, Queued

FAST = Rate(1e6, 1e6)


def tag(number: int) -> Reference:
    return Reference(Repository("registry.example", "library/app"), Tag(f"t{number}"))


class Looked:
    """Notes what is looked at, and holds each look until it is let go."""

    def __init__(self) -> None:
        self.seen: list[Reference] = []
        self.finds_nothing = False
        self.go_on = asyncio.Event()
        self.go_on.set()
        self._came = asyncio.Event()

    async def __call__(self, reference: Reference) -> bool:
        self.seen.append(reference)
        self._came.set()
        await self.go_on.wait()
        return self.finds_nothing

    async def until(self, count: int) -> None:
        async with asyncio.timeout(60):
            while len(self.seen) < count:
                self._came.clear()
                await self._came.wait()


@asynccontextmanager
async def running(looks: Looks) -> AsyncIterator[None]:
    task = asyncio.create_task(looks.run())
    yield
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_n18_10_a_tag_that_waits_is_looked_at_once() -> None:
    looked = Looked()
    looks = Looks(looked, FAST)
    assert [looks.add(tag(1)) for _ in range(3)] == [Queued.QUEUED, Queued.DUPLICATE, Queued.DUPLICATE]
    assert looks.add(tag(2)) is Queued.QUEUED
    async with running(looks):
        await looked.until(2)
    assert looked.seen == [tag(1), tag(2)]


async def test_n18_10_what_is_told_during_a_look_is_looked_at_again() -> None:
    """The look may have been answered before the push that was told now."""
    looked = Looked()
    looked.go_on.clear()
    looks = Looks(looked, FAST, apart=0.01)
    async with running(looks):
        looks.add(tag(1))
        await looked.until(1)
        assert [looks.add(tag(1)), looks.add(tag(1))] == [Queued.QUEUED, Queued.DUPLICATE]
        looked.go_on.set()
        await looked.until(2)
    assert looked.seen == [tag(1)] * 2


async def test_n18_10_the_same_tag_is_put_off_and_others_are_not() -> None:
    now = [0.0]
    looked = Looked()
    looks = Looks(looked, FAST, lambda: now[0])
    async with running(looks):
        looks.add(tag(1))
        await looked.until(1)
        looks.add(tag(1))
        looks.add(tag(2))
        await looked.until(2)
        assert (looked.seen, looks.waiting()) == ([tag(1), tag(2)], [tag(1)])
        now[0] = 5.0
        looks.add(tag(3))  # which wakes it: this clock tells nobody
        await looked.until(4)
    assert set(looked.seen[2:]) == {tag(1), tag(3)}


async def test_n18_10_a_look_that_found_nothing_new_is_repeated_once() -> None:
    """The event may have come before the tag moved."""
    looked = Looked()
    looked.finds_nothing = True
    looks = Looks(looked, FAST, apart=0.01)
    async with running(looks):
        looks.add(tag(1))
        await looked.until(2)
        looks.add(tag(2))
        await looked.until(4)
        looks.add(tag(1))
        await looked.until(6)
        looked.finds_nothing = False
        looks.add(tag(3))
        await looked.until(7)
        looks.add(tag(4))
        await looked.until(8)
    assert looked.seen == [each for each in (tag(1), tag(2), tag(1)) for _ in range(2)] + [tag(3), tag(4)]


async def test_n18_10_an_event_that_comes_before_a_repeated_look_counts_as_told() -> None:
    now = [0.0]
    looked = Looked()
    looked.finds_nothing = True
    looks = Looks(looked, FAST, lambda: now[0])
    async with running(looks):
        looks.add(tag(1))
        await looked.until(1)
        async with asyncio.timeout(60):
            while looks.waiting() != [tag(1)]:  # noqa: ASYNC110  the look has returned, and tells nobody
                await asyncio.sleep(0)
        assert looks.add(tag(1)) is Queued.DUPLICATE
        for at, count in ((5.0, 3), (10.0, 6)):
            now[0] = at
            looks.add(tag(int(at)))  # which wakes it: this clock tells nobody
            await looked.until(count)
    assert looked.seen.count(tag(1)) == 3


async def test_n18_10_the_rate_is_kept_and_the_queue_is_bounded() -> None:
    looked = Looked()
    looks = Looks(looked, Rate(1e-6, 2), lambda: 0.0)
    async with running(looks):
        assert {looks.add(tag(number)) for number in range(MAX_WAITING)} == {Queued.QUEUED}
        assert looks.add(tag(MAX_WAITING)) is Queued.THROTTLED
        await looked.until(2)
        assert looks.add(tag(MAX_WAITING)) is Queued.QUEUED
        for _ in range(10):
            await asyncio.sleep(0)
        assert len(looked.seen) == 2


async def test_n18_10_a_hung_upstream_holds_a_few_looks_and_a_bug_ends_none_of_the_others(caplog: pytest.LogCaptureFixture) -> None:
    looked = Looked()
    looked.go_on.clear()

    async def failing(reference: Reference) -> bool:
        if reference == tag(0):
            raise RuntimeError("a bug")
        return await looked(reference)

    looks = Looks(failing, FAST)
    async with running(looks):
        for number in range(10):
            looks.add(tag(number))
        await looked.until(4)
        for _ in range(10):
            await asyncio.sleep(0)
        assert len(looked.seen) == 4
        looked.go_on.set()
        await looked.until(9)
    assert [each.getMessage() for each in caplog.records].count("tag refresh failed: internal error") == 1
