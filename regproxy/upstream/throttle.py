"""A throttle for a host that asked for a pause (429): closed for a while, then open for one probe, then for all.

One throttle for manifests and one for blobs: Docker Hub counts only manifests, and what was resolved before can still be fetched.
"""

import time
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

from cachetools import LRUCache

from regproxy.oci.http.ratelimit import RateLimit
from regproxy.policy.clock import MonotonicClock
from regproxy.policy.upstream.limits import is_scarce, pause_after
from regproxy.ports import Throttled

_MAX_ORIGINS = 64  # that a host redirects to, and that are remembered; it chooses them
_PROBING = 5.0  # seconds until whoever meets a probe under way is to come back

Kind = TypeVar("Kind")


class Throttle:
    """Knows how many pulls are left, and until when it is closed."""

    def __init__(self, host: str, clock: MonotonicClock = time.monotonic) -> None:
        """Stand open."""
        self._host = host
        self._clock = clock
        self._opens_at: float | None = None
        self._is_probed = False
        self._seen_at = 0.0
        self.quota: RateLimit | None = None

    @property
    def is_scarce(self) -> bool:
        return is_scarce(self.quota, self._clock() - self._seen_at)

    @property
    def pause(self) -> float:
        """The seconds for which it stays shut."""
        return max(0.0, (self._opens_at or 0.0) - self._clock())

    @asynccontextmanager
    async def passed(self) -> AsyncIterator[None]:
        """Pass the throttle, alone if it was closed; raise `Throttled` where it is closed or a probe is under way."""
        if self._opens_at is None:
            yield
            return
        if self.pause > 0 or self._is_probed:
            raise Throttled(f"{self._host} throttles us: it is left alone for now", self.pause or _PROBING)
        self._is_probed = True
        try:
            yield
        finally:
            self._is_probed = False

    def note(self, quota: RateLimit | None, *, refused: bool, asked_for: float | None = None) -> None:
        """Record from an answer."""
        if quota is not None:
            self.quota, self._seen_at = quota, self._clock()
        pause = pause_after(self.quota if quota is None and refused else quota, refused=refused, asked_for=asked_for)
        if pause:
            self._opens_at = self._clock() + pause
        elif self._is_probed:  # an answer to what was asked before it was shut does not open it
            self._opens_at = None


class Throttles(Generic[Kind]):
    """The throttles of a host, one for each kind of request, and of the origins that it redirects to: each speaks for itself alone."""

    def __init__(self, host: str, home: str, kinds: Collection[Kind]) -> None:
        """Let *host* be who is at the origin *home*."""
        self._host = host
        self._home = home
        self._throttles = {kind: Throttle(host) for kind in kinds}
        self._elsewhere: LRUCache[tuple[Kind, str], Throttle] = LRUCache(_MAX_ORIGINS)

    def __getitem__(self, kind: Kind) -> Throttle:
        return self._throttles[kind]

    def of(self, kind: Kind, origin: str) -> Throttle:
        """Find the throttle to whoever is at *origin*."""
        if origin == self._home:
            return self._throttles[kind]
        throttle = self._elsewhere.get((kind, origin))
        if throttle is None:
            throttle = self._elsewhere[kind, origin] = Throttle(f"{origin}, where {self._host} redirects us,")
        return throttle
