"""Asking several hosts."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from regproxy.policy.routing import Host
from regproxy.ports import NotFound, Unavailable
from regproxy.upstream.hedging import Failures, first_answer

FIRST, SECOND, THIRD = (Host(f"https://{name}.example") for name in ("first", "second", "third"))
HOSTS = (FIRST, SECOND, THIRD)
NEVER, AT_ONCE = 1e6, 0.0


class Asked:
    """Hosts that answer by their name once they may, or fail; and what became of answers that nobody took."""

    def __init__(self, **errors: Exception) -> None:
        self.errors = errors
        self.hosts: list[Host] = []
        self.silent: set[Host] = set()
        self.dropped: list[str] = []
        self.is_polite = True  # whether a request that is cancelled ends without an answer

    async def ask(self, host: Host) -> str:
        self.hosts.append(host)
        name = str(host).partition(".")[0]
        try:
            if host in self.silent:
                await asyncio.Event().wait()
        except asyncio.CancelledError:
            if self.is_polite:
                raise
        if name in self.errors:
            raise self.errors[name]
        return name

    async def drop(self, answer: str) -> None:
        self.dropped.append(answer)

    def answer(self, after: float, may_hedge: Callable[[], bool] = lambda: True) -> Awaitable[str | Failures]:
        return first_answer(HOSTS, self.ask, lambda _: after, may_hedge, self.drop)


async def test_the_next_host_is_asked_where_one_failed_and_no_more() -> None:
    asked = Asked(first=Unavailable("down"))
    assert (await asked.answer(NEVER), asked.hosts) == ("second", [FIRST, SECOND])


async def test_where_all_fail_it_is_told_of_each() -> None:
    errors = {"first": Unavailable("down"), "second": NotFound("gone"), "third": Unavailable("down")}
    assert await Asked(**errors).answer(NEVER) == list(zip(HOSTS, errors.values(), strict=True))


async def test_a_silent_host_is_overtaken_and_its_late_answer_dropped() -> None:
    asked = Asked()
    asked.silent, asked.is_polite = {FIRST}, False
    assert (await asked.answer(AT_ONCE), asked.hosts, asked.dropped) == ("second", [FIRST, SECOND], ["first"])


async def test_without_the_right_to_ask_another_a_silent_host_is_waited_for() -> None:
    asked, refused = Asked(), asyncio.Event()
    asked.silent = {FIRST}

    def may_hedge() -> bool:
        refused.set()
        return False

    asking = asyncio.ensure_future(asked.answer(AT_ONCE, may_hedge))
    await refused.wait()
    await asyncio.sleep(0)
    assert asked.hosts == [FIRST]
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking


async def test_our_own_mistake_is_no_failure_of_a_host() -> None:
    with pytest.raises(ZeroDivisionError):
        await Asked(first=ZeroDivisionError()).answer(NEVER)
