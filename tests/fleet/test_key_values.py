"""What a member keeps for others: for a while, within limits, and locks that end."""

import asyncio

import pytest

from regproxy.fleet import key_values
from regproxy.fleet.key_values import MemoryKeyValues

FOR_EVER = 1e6  # seconds: as long as the test runs
SOON = 0.01


class Clock:
    """Stands still until it is set."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


async def test_n17_05_a_value_is_kept_for_its_life_and_the_last_one_counts() -> None:
    clock = Clock()
    kept = MemoryKeyValues(clock)
    assert await kept.get("a") is None
    await kept.put("a", b"1", 10.0, "one")
    await kept.put("a", b"2", 5.0, "other")
    assert await kept.get("a") == b"2"
    clock.now += 5.0
    assert await kept.get("a") is None
    assert kept.bytes_kept == 0


async def test_n17_05_a_member_that_puts_too_much_loses_its_own_oldest_and_nobody_elses() -> None:
    kept = MemoryKeyValues()
    await kept.put("theirs", b"x", FOR_EVER, "other")
    size = 64 * 1024
    count = 2 * key_values._MAX_MEMBER_BYTES // size
    for number in range(count):
        await kept.put(str(number), bytes(size), FOR_EVER, "one")
    assert await kept.get("theirs") == b"x"
    assert [await kept.get("0"), await kept.get(str(count - 1))] == [None, bytes(size)]
    assert kept.bytes_kept <= key_values._MAX_MEMBER_BYTES + 1000
    await kept.put("too large", bytes(key_values._MAX_MEMBER_BYTES), FOR_EVER, "other")
    assert await kept.get("too large") is None


async def test_n17_05_many_members_together_are_limited_too() -> None:
    kept = MemoryKeyValues()
    for number in range(3000):
        await kept.put(str(number), bytes(64 * 1024), FOR_EVER, f"member {number % 300}")
    assert kept.bytes_kept <= key_values._MAX_BYTES


async def test_n17_05_a_lock_is_its_holders_until_it_is_released_or_ends() -> None:
    clock = Clock()
    kept = MemoryKeyValues(clock)
    assert await kept.take("a", "mine", 10.0, "one")
    assert not await kept.take("a", "yours", 10.0, "other")
    assert await kept.take("b", "yours", 10.0, "other")
    clock.now += 9.0
    assert await kept.take("a", "mine", 10.0, "one"), "it is renewed"
    clock.now += 9.0
    assert not await kept.take("a", "yours", 10.0, "other")
    await kept.release("a", "yours")
    assert not await kept.take("a", "yours", 10.0, "other"), "nobody else can release it"
    clock.now += 1.0
    assert await kept.take("a", "yours", 10.0, "other"), "who does not renew it has it no more"
    await kept.release("a", "mine")
    assert not await kept.take("a", "mine", 10.0, "one")
    await kept.release("a", "yours")
    assert await kept.take("a", "mine", 10.0, "one")


async def test_n17_05_all_waiters_go_on_when_a_lock_is_released() -> None:
    kept = MemoryKeyValues()
    assert await kept.wait("a", FOR_EVER, "other"), "nobody has it"
    await kept.take("a", "mine", FOR_EVER, "one")
    waiting = [asyncio.create_task(kept.wait("a", FOR_EVER, f"member {number}")) for number in range(10)]
    await asyncio.sleep(0)
    await kept.release("a", "mine")
    assert await asyncio.gather(*waiting) == [True] * 10


async def test_n17_06_who_waits_for_a_holder_that_is_gone_is_told() -> None:
    kept = MemoryKeyValues()
    await kept.take("a", "mine", SOON, "one")
    assert not await kept.wait("a", FOR_EVER, "other")
    await kept.take("a", "mine", FOR_EVER, "one")
    assert not await kept.wait("a", SOON, "other"), "nor does it wait for longer than it wants to"


async def test_n17_06_who_waits_for_a_holder_that_lives_waits_on() -> None:
    clock = Clock()
    kept = MemoryKeyValues(clock)
    await kept.take("a", "mine", SOON, "one")
    waiting = asyncio.create_task(kept.wait("a", FOR_EVER, "other"))
    await asyncio.sleep(0)
    await kept.take("a", "mine", FOR_EVER, "one")
    await asyncio.sleep(3 * SOON)
    assert not waiting.done()
    await kept.release("a", "mine")
    assert await waiting


@pytest.mark.parametrize("members", [1, 100])
async def test_n17_05_beyond_the_limits_nobody_waits(members: int) -> None:
    clock = Clock()
    kept = MemoryKeyValues(clock)
    names = [f"member {number}" for number in range(members)]
    most = min(members * key_values._MAX_MEMBER_LOCKS, key_values._MAX_LOCKS)
    for number in range(most):
        assert await kept.take(str(number), "ticket", 10.0, names[number % members])
    for _ in range(2):
        assert await kept.take("one more", f"ticket {_}", 10.0, names[0]), "each believes that it has it"
    clock.now += 10.0
    assert await kept.take("after all", "ticket", FOR_EVER, names[0])
    assert not await kept.take("after all", "other", FOR_EVER, names[0])
    waiters = min(members * key_values._MAX_MEMBER_WAITERS, key_values._MAX_WAITERS)
    waiting = [asyncio.create_task(kept.wait("after all", FOR_EVER, names[number % members])) for number in range(waiters)]
    await asyncio.sleep(0)
    assert await kept.wait("after all", FOR_EVER, names[0])
    await kept.release("after all", "ticket")
    assert all(await asyncio.gather(*waiting))
    assert not kept._waiters
    assert not kept._held
