"""A credential that one cloud issues for a host: one for all who ask, all workers and replicas, and renewed ahead of its end.

It is over when the time of day says so, or a clock that is never set back: some registries call a password that is over forbidden (ECR,
403), as if it were about one repository, and so nothing but its end tells that it is to be renewed.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable
from typing import NamedTuple

from regproxy.flights import Flights
from regproxy.policy.clock import MonotonicClock, WallClock
from regproxy.policy.clouds.issued import credential_of, issued
from regproxy.policy.credential import Credential, Secret
from regproxy.policy.upstream.tokens import LONGEST_LIFE, Token
from regproxy.ports import Fleet, Throttled, Unavailable, UnexpectedResponse, UpstreamError, detached
from regproxy.telemetry.log import fields
from regproxy.upstream.clouds.issuer import Issued, Issuer

_WITHIN = 10.0  # seconds for all that is asked to issue one: clients wait for it
_FAILED_FOR = 5.0  # seconds after the first failure, and twice as long after each that follows
_MAX_FAILED_FOR = 60.0  # whatever a service asks for
_REPLACED_FOR = 60.0  # seconds within which a credential is not replaced again because it was refused

_log = logging.getLogger(__name__)


class _Failure(NamedTuple):
    error: UpstreamError
    until: float
    pause: float


class RenewedSource:
    """Asks an issuer as rarely as can be."""

    def __init__(
        self,
        issuer: Issuer,
        key: Secret,
        name: str,
        fleet: Fleet,
        clock: WallClock = time.time,
        chance: Callable[[], float] = random.random,
        monotonic: MonotonicClock = time.monotonic,
        within: float = _WITHIN,
    ) -> None:
        """Ask nothing yet; *key* distinguishes the credential in the *fleet*, *name* in the log, and *chance* spreads renewals.

        Whoever issues one may take *within* seconds.
        """
        self._issuer = issuer
        self._key = key
        self._name = name
        self._fleet = fleet
        self._clock = clock
        self._chance = chance
        self._monotonic = monotonic
        self._within = within
        self._token: Token | None = None
        self._over_at = 0.0  # by the clock that is never set back
        self._renewed_at = 0.0
        self._failure: _Failure | None = None
        self._flights: Flights[str, Token] = Flights()

    async def find(self, name: str) -> Credential | None:  # noqa: ARG002 -- it is the same for all repositories
        """Return the credential; raise `UpstreamError` where there is none."""
        token, now = self._token, self._clock()
        if token is None or self._is_over(token):
            if (failure := self._current_failure(now)) is not None:
                raise detached(failure.error)
            token = await self._flights.join("renewal", lambda: self._renew(token))
        elif token.renew_at <= now and self._current_failure(now) is None:
            self._flights.start("renewal", lambda: self._renew(token))
        return credential_of(token)

    async def replacement(self, refused: Credential, name: str) -> Credential | None:
        """Return another credential than one that was refused; within a minute of a renewal, or soon after a failure, there is no other."""
        found, now = await self.find(name), self._clock()
        if found == refused and now - self._renewed_at > _REPLACED_FOR and self._current_failure(now) is None:
            token = self._token
            found = credential_of(await self._flights.join("renewal", lambda: self._renew(token)))
        return found if found != refused else None

    @property
    def failure(self) -> str:
        is_needed = self._token is None or self._is_over(self._token)
        return str(self._failure.error) if self._failure is not None and is_needed else ""

    async def close(self) -> None:
        await self._flights.close()
        await self._issuer.close()

    def _is_over(self, token: Token) -> bool:
        return token.expires_at <= self._clock() or self._over_at <= self._monotonic()

    def _current_failure(self, now: float) -> _Failure | None:
        failure = self._failure
        return failure if failure is not None and failure.until - _MAX_FAILED_FOR <= now < failure.until else None

    async def _renew(self, old: Token | None) -> Token:
        """Get a credential other than *old*: another worker's if there is one, or else the cloud's."""
        async with self._fleet.lock(self._key.value):
            token = await self._fleet.token(self._key)
            is_known = token is not None and credential_of(token) is not None and token.renew_at > self._clock()
            if token is None or not is_known or (old is not None and token.value == old.value):
                token = await self._issued()
                self._fleet.put_token(self._key, token)
        self._token, self._renewed_at, self._failure = token, self._clock(), None
        self._over_at = self._monotonic() + min(token.expires_at - self._renewed_at, LONGEST_LIFE)
        return token

    async def _issued(self) -> Token:
        try:
            found = await self._in_time()
            token = issued(found.credential, found.seconds, self._clock(), self._chance())
            if token is None:
                raise UnexpectedResponse(f"{self._name} issued a credential that cannot be sent")
        except UpstreamError as error:
            before = self._failure.pause if self._failure is not None else _FAILED_FOR / 2
            asked_for = error.retry_after or 0.0 if isinstance(error, Throttled) else 0.0
            pause = min(max(2 * before, asked_for), _MAX_FAILED_FOR)
            self._failure = _Failure(detached(error), self._clock() + pause, pause)
            _log.warning("credential not issued", extra=fields(source=self._name, reason=str(error), seconds=round(pause)))
            raise
        _log.info("credential issued", extra=fields(source=self._name, seconds=round(found.seconds)))
        return token

    async def _in_time(self) -> Issued:
        try:
            async with asyncio.timeout(self._within) as limit:
                return await self._issuer.issue()
        except TimeoutError:
            if not limit.expired():
                raise
            raise Unavailable(f"{self._name} was not issued within {self._within:g} s: each who is asked is slow", timed_out=True) from None
