"""Why there is no token or no access, and for how long that is believed.

A password that is wrong is wrong for every repository, so it is sent once and not once for each: Docker Hub locks a user out for ten
minutes after a few (hub-feedback#2201). But a 401 may as well be about one repository: some services say so of one that is forbidden or
unknown to them. So a refused credential is tried once where nothing but itself is in request, at a login that names no repository, and
one that worked since it was sent is right without being asked about. What was never called right goes alone, and whoever comes meanwhile
waits for what becomes of it.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import NamedTuple, TypeAlias

from cachetools import LRUCache

from regproxy.policy.clock import WallClock
from regproxy.policy.credential import Credential
from regproxy.policy.upstream.tokens import FAILED_FOR, REFUSED_FOR, WRONG_FOR
from regproxy.ports import Refused, Throttled, UpstreamError, detached
from regproxy.upstream.auth.credential_state import CredentialState
from regproxy.upstream.auth.token_service import TokenRequest

_MAX_KEPT = 4_000
_AccessLogEntry: TypeAlias = tuple[str, Credential]

Login: TypeAlias = Callable[[TokenRequest, tuple[str, ...]], Awaitable[bool | None]]
"""Try the credential of a request where no repository is in question, or by scopes that it had before; None where that tells nothing."""


class _Failure(NamedTuple):
    """What went wrong, and until when that is believed."""

    error: UpstreamError
    until: float


class _Verdict(NamedTuple):
    """Whether a credential is right, when that was found out, and by which scopes it last worked."""

    number: int
    is_right: bool | None
    scopes: tuple[str, ...] = ()


_UNKNOWN = _Verdict(0, None)


class Failures:
    """Recent failures: of one request, or of all that use the same credential at the same place."""

    def __init__(self, clock: WallClock, login: Login, state: CredentialState) -> None:
        self._clock = clock
        self._login = login
        self._state = state
        self._numbers = itertools.count(1)
        self._failures: LRUCache[TokenRequest | _AccessLogEntry, _Failure] = LRUCache(_MAX_KEPT)
        self._verdicts: LRUCache[_AccessLogEntry, _Verdict] = LRUCache(_MAX_KEPT)
        self._first: LRUCache[_AccessLogEntry, asyncio.Lock] = LRUCache(_MAX_KEPT)
        self._judging: LRUCache[_AccessLogEntry, asyncio.Lock] = LRUCache(_MAX_KEPT)

    @asynccontextmanager
    async def noted(self, request: TokenRequest) -> AsyncIterator[None]:
        """Record how an exchange ends; raise what became of the one it waited for."""
        account = _account(request)
        async with AsyncExitStack() as alone:
            if account is not None and not self._is_right(account):
                await alone.enter_async_context(self._first.setdefault(account, asyncio.Lock()))
                self.check(request)
                if self._is_right(account):
                    await alone.aclose()
            began = next(self._numbers)
            try:
                yield
            except UpstreamError as error:
                raise detached(await self._learned(request, account, error, began)) from error
        self.worked(request)

    async def refused(self, request: TokenRequest, error: Refused, began: int) -> None:
        """Record that a credential that was sent as it is, after the number *began*, was refused."""
        await self._learned(request, _account(request), error, began)

    def worked(self, request: TokenRequest) -> None:
        """Record that a credential was taken: whatever was said of it before is over."""
        if (account := _account(request)) is not None:
            self._verdicts[account] = _Verdict(next(self._numbers), is_right=True, scopes=request.scopes)
            self._failures.pop(account, None)
            self._failures.pop(request, None)
            self._state.accepted(account)

    def number(self) -> int:
        """Number a moment, for `refused`."""
        return next(self._numbers)

    def is_noted(self, request: TokenRequest) -> bool:
        return self._current(request) is not None

    def check(self, request: TokenRequest) -> None:
        """Raise what went wrong a moment ago, with the rest of the pause if one was asked for."""
        failure = self._current(request)
        if failure is None:
            return
        if isinstance(failure.error, Throttled):
            raise Throttled(str(failure.error), failure.until - self._clock())
        raise detached(failure.error)

    async def _learned(self, request: TokenRequest, account: _AccessLogEntry | None, error: UpstreamError, began: int) -> UpstreamError:
        """Remember an error, for all it is about, and give it as it is to be told."""
        if account is None or not (isinstance(error, Refused) and error.whatever_asked):
            self._note(request, error)
            if account is not None and not isinstance(error, Refused) and not self._is_right(account):
                self._note(account, error)
            return error
        was_right = self._is_right(account)
        is_right = await self._judged(account, request, began)
        if is_right or (is_right is None and was_right):
            what = " ".join(request.scopes) or "this"
            error = Refused(f"{error}; they are right, so it is about {what}: no access, or no such thing")
            self._note(request, error)
            return error
        self._note(account, error)
        self._state.refused(account, str(error))
        return error

    async def _judged(self, account: _AccessLogEntry, request: TokenRequest, began: int) -> bool | None:
        """Find out whether a credential is right, unless that came out since *began*: one request for all who want to know."""
        async with self._judging.setdefault(account, asyncio.Lock()):
            known = self._verdicts.get(account, _UNKNOWN)
            if known.number > began:
                return known.is_right
            is_right = await self._login(request, known.scopes if known.scopes != request.scopes else ())
            self._verdicts[account] = _Verdict(next(self._numbers), is_right, known.scopes)
            return is_right

    def _is_right(self, account: _AccessLogEntry) -> bool:
        return bool(self._verdicts.get(account, _UNKNOWN).is_right)

    def _note(self, what: TokenRequest | _AccessLogEntry, error: UpstreamError) -> None:
        self._failures[what] = _Failure(detached(error), self._clock() + _believed_for(error))

    def _current(self, request: TokenRequest) -> _Failure | None:
        known = (self._failures.get(what) for what in (_account(request), request) if what is not None)
        return next((failure for failure in known if failure is not None and self._clock() < failure.until), None)


def _account(request: TokenRequest) -> _AccessLogEntry | None:
    return (str(request.realm), request.credential) if request.credential else None


def _believed_for(error: UpstreamError) -> float:
    match error:
        case Refused(whatever_asked=is_wrong):
            return WRONG_FOR if is_wrong else REFUSED_FOR
        case Throttled(retry_after=pause):
            return REFUSED_FOR if pause is None else pause
        case _:
            return FAILED_FOR
