"""Why there is no token or no access, and for how long that is believed.

A password that a service calls wrong is wrong for every repository, so it is sent once and not once for each: Docker Hub locks a user out
for ten minutes after a few (hub-feedback#2201). What was never called right goes alone, and whoever comes meanwhile waits for what
becomes of it. A 401 that says DENIED, as ghcr.io and Huawei send for a repository they do not know, is about that repository; so is the
first one to a password that was right before.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import NamedTuple, TypeAlias

from cachetools import LRUCache

from regproxy.policy.routing import Credential
from regproxy.policy.tokens import FAILED_FOR, REFUSED_FOR, WRONG_FOR
from regproxy.ports import Refused, Throttled, UpstreamError
from regproxy.upstream.token_service import Demand

_KEPT = 10_000
_Account: TypeAlias = tuple[str, Credential]


class _Failure(NamedTuple):
    """What went wrong, and until when that is believed."""

    error: UpstreamError
    until: float


class Failures:
    """What went wrong lately: for one demand, or for whoever uses the same credential at the same place."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._failures: LRUCache[Demand | _Account, _Failure] = LRUCache(_KEPT)
        self._proven: LRUCache[_Account, bool] = LRUCache(_KEPT)
        self._first: LRUCache[_Account, asyncio.Lock] = LRUCache(_KEPT)

    @asynccontextmanager
    async def noted(self, demand: Demand) -> AsyncIterator[None]:
        """Learn how an exchange ends; raise what became of the one it waited for."""
        account = _account(demand)
        async with AsyncExitStack() as alone:
            if account is not None and account not in self._proven:
                await alone.enter_async_context(self._first.setdefault(account, asyncio.Lock()))
                self.check(demand)
                if account in self._proven:
                    await alone.aclose()
            try:
                yield
            except UpstreamError as error:
                self._learn(demand, account, error)
                raise
        if account is not None:
            self._proven[account] = True

    def refused(self, demand: Demand, error: Refused) -> None:
        """Learn that what was sent as it is was refused."""
        self._note(demand, error)

    def is_noted(self, demand: Demand) -> bool:
        return self._current(demand) is not None

    def check(self, demand: Demand) -> None:
        """Raise what went wrong a moment ago, with the rest of the pause if one was asked for."""
        failure = self._current(demand)
        if failure is None:
            return
        if isinstance(failure.error, Throttled):
            raise Throttled(str(failure.error), failure.until - self._clock())
        raise failure.error.with_traceback(None)  # else each raise makes its traceback longer

    def _learn(self, demand: Demand, account: _Account | None, error: UpstreamError) -> None:
        self._note(demand, error)
        if account is None or (isinstance(error, Refused) and not error.whatever_asked):
            return
        if account not in self._proven:
            self._note(account, error)
        elif isinstance(error, Refused):
            del self._proven[account]

    def _note(self, what: Demand | _Account, error: UpstreamError) -> None:
        self._failures[what] = _Failure(error, self._clock() + _believed_for(error))

    def _current(self, demand: Demand) -> _Failure | None:
        known = (self._failures.get(what) for what in (demand, _account(demand)) if what is not None)
        return next((failure for failure in known if failure is not None and self._clock() < failure.until), None)


def _account(demand: Demand) -> _Account | None:
    return (str(demand.realm), demand.credential) if demand.credential else None


def _believed_for(error: UpstreamError) -> float:
    match error:
        case Refused(whatever_asked=is_wrong):
            return WRONG_FOR if is_wrong else REFUSED_FOR
        case Throttled(retry_after=pause):
            return REFUSED_FOR if pause is None else pause
        case _:
            return FAILED_FOR
