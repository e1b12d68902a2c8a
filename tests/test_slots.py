"""Slots go to whoever holds the fewest, and none is lost."""

import asyncio
from contextvars import copy_context

import pytest

from regproxy.client import client
from regproxy.policy.clients.sharing import Share
from regproxy.slots import Slots


def _taking(slots: Slots, owner: str, timeout: float | None = None) -> asyncio.Task[None]:
    context = copy_context()
    context.run(client.set, owner)
    return asyncio.create_task(slots.take(timeout), context=context)


async def _turn() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_n12_12_one_client_cannot_take_all() -> None:
    slots = Slots(Share(8, 2, 1))
    greedy = [_taking(slots, "greedy") for _ in range(20)]
    await _turn()
    assert [task.done() for task in greedy].count(True) == 6
    for other in ("a", "b"):
        await _taking(slots, other)
    slots.give_back("greedy")
    await _turn()
    assert [task.done() for task in greedy].count(True) == 6, "what is reserved is free again first"
    for task in greedy:
        task.cancel()


async def test_whoever_holds_the_fewest_is_next() -> None:
    slots = Slots(Share(4, 0, 1))
    for _ in range(4):
        await _taking(slots, "first")
    again, other = _taking(slots, "first"), _taking(slots, "other")
    await _turn()
    slots.give_back("first")
    await _turn()
    assert (again.done(), other.done()) == (False, True)
    slots.give_back("other")
    await again


async def test_a_slot_is_not_lost_where_whoever_waits_leaves() -> None:
    slots = Slots(Share.of(1))
    await _taking(slots, "a")
    leaving, granted, last = (_taking(slots, "b") for _ in range(3))
    await _turn()
    leaving.cancel()
    await _turn()
    slots.give_back("a")
    granted.cancel()  # it has its slot, and does not know yet
    await last
    slots.give_back("b")
    assert repr(slots) == "<Slots 0/1, 0 clients waiting>"


async def test_waiting_is_bounded() -> None:
    slots = Slots(Share.of(1))
    await _taking(slots, "a")
    with pytest.raises(TimeoutError):
        await _taking(slots, "b", timeout=0.01)
    slots.give_back("a")
    assert repr(slots) == "<Slots 0/1, 0 clients waiting>"
