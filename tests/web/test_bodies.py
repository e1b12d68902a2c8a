"""Large bodies that clients have yet to take: how much there may be of them, in all and for each."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from regproxy.client import client
from regproxy.oci.errors import RegistryError
from regproxy.policy.clients.sharing import Share
from regproxy.web.bodies import BodyBudget

BODY = bytes(100)
SHARE = Share.of(1000)  # 125 for those who hold little, 250 for nobody else


@pytest.fixture(autouse=True)
def _client() -> Iterator[None]:
    """Be one client."""
    before = client.set("192.0.2.1")
    yield
    client.reset(before)


def _hold(stack: ExitStack, budget: BodyBudget, count: int) -> int:
    """Hold so many bodies, or as many as may be."""
    for number in range(count):
        if not budget.may_hold(number, len(BODY)):
            with pytest.raises(RegistryError, match="too many large responses"):
                stack.enter_context(budget.held(number, BODY))
            return number
        stack.enter_context(budget.held(number, BODY))
    return count


def test_a_body_that_many_are_sent_is_there_once_and_counts_once() -> None:
    budget = BodyBudget(SHARE)
    with ExitStack() as stack:
        given = [stack.enter_context(budget.held("a", bytes([number]) * 100)) for number in range(50)]
        assert all(each is given[0] for each in given)
        assert repr(budget) == "<BodyBudget <Slots 100/1000, 0 clients waiting>, 1 bodies>"
    assert repr(budget) == "<BodyBudget <Slots 0/1000, 0 clients waiting>, 0 bodies>"


def test_one_client_leaves_room_for_others() -> None:
    budget = BodyBudget(SHARE)
    with ExitStack() as stack:
        assert _hold(stack, budget, 10) == 7
        assert not budget.may_hold("new", 100)
        assert budget.may_hold(0, 100), "it is there already"
        client.set("192.0.2.2")
        assert budget.may_hold("new", 100)
        stack.enter_context(budget.held("new", BODY))


def test_who_stays_pays_for_what_whoever_left_had_paid() -> None:
    budget = BodyBudget(SHARE)
    first = ExitStack()
    first.enter_context(budget.held("a", BODY))
    client.set("192.0.2.2")
    with budget.held("a", BODY):
        first.close()
        with ExitStack() as stack:
            assert _hold(stack, budget, 10) == 6, "the first one counts as ours"
    assert "<Slots 0/" in repr(budget)


async def test_room_that_was_reserved_is_used_or_given_back() -> None:
    budget = BodyBudget(SHARE)
    async with budget.reserved(100) as room:
        with budget.held("a", BODY, room):
            assert "<Slots 100/" in repr(budget)
    async with budget.reserved():
        assert "<Slots 125/" in repr(budget), "as much as one that is large counts"
    assert "<Slots 0/" in repr(budget)


async def test_an_upstream_that_hangs_has_half_of_the_turns() -> None:
    budget, gate, asking = BodyBudget(Share.of(16_000)), asyncio.Event(), list[str]()

    async def ask(upstream: str, address: str) -> None:
        client.set(address)
        async with budget.asked(upstream):
            asking.append(upstream)
            await gate.wait()

    tasks = [asyncio.create_task(ask("hangs", f"192.0.2.{number}")) for number in range(12)]
    tasks += [asyncio.create_task(ask("works", f"198.51.100.{number}")) for number in range(4)]
    while len(asking) < 12:  # noqa: ASYNC110  all that may
        await asyncio.sleep(0)
    assert (asking.count("hangs"), asking.count("works")) == (8, 4)
    gate.set()
    await asyncio.gather(*tasks)
    assert asking.count("hangs") == 12
