"""Tags that are to be looked at again, because somebody said that they moved: each by and by, at a limited rate.

What is told many times is looked at once. But the last thing that was told counts: after a look, the next one at the same tag is only put
off, never left out. Where a look found nothing new there is another one: registries tell of a push before the tag means it (distribution
tells between the two, registry/handlers/manifests.go, PutManifest), and upstream may have been out of reach.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from enum import StrEnum

from regproxy.oci.reference import Reference
from regproxy.policy.clients.token_bucket import Rate, TokenBucket
from regproxy.policy.clock import MonotonicClock
from regproxy.telemetry.log import fields

MAX_WAITING = 1_000  # tags
_AT_ONCE = 4  # looks under way
_APART = 5.0  # seconds between two looks at the same tag

_log = logging.getLogger(__name__)


class Queued(StrEnum):
    """What became of a tag that is to be looked at."""

    QUEUED = "queued"
    DUPLICATE = "duplicate"  # it waits already
    THROTTLED = "throttled"  # too many wait


class Looks:
    """The tags of one sender."""

    def __init__(
        self, look: Callable[[Reference], Awaitable[bool]], rate: Rate, clock: MonotonicClock = time.monotonic, apart: float = _APART
    ) -> None:
        """Call *look* for each tag at *rate*, and again after *apart* seconds at the earliest.

        Where it returns that it found nothing new, it is called once more.
        """
        self._look = look
        self._rate = rate
        self._clock = clock
        self._apart = apart
        self._bucket = TokenBucket(rate.burst, clock())
        self._waiting: dict[Reference, float] = {}  # from when on it may be looked at
        self._looked: dict[Reference, float] = {}  # when a look began, as long as that matters
        self._repeats: set[Reference] = set()  # of those that wait, what nobody has told since
        self._has_come = asyncio.Event()
        self._slots = asyncio.Semaphore(_AT_ONCE)

    def add(self, reference: Reference) -> Queued:
        """Have a tag looked at, after this call at the earliest."""
        self._repeats.discard(reference)
        return self._add(reference)

    def _add(self, reference: Reference) -> Queued:
        if reference in self._waiting:
            return Queued.DUPLICATE
        if len(self._waiting) >= MAX_WAITING:
            return Queued.THROTTLED
        now = self._clock()
        looked = self._looked.get(reference)
        self._waiting[reference] = now if looked is None else max(now, looked + self._apart)
        self._has_come.set()
        return Queued.QUEUED

    def waiting(self) -> list[Reference]:
        """List the tags that wait, those told first before others."""
        return list(self._waiting)

    async def run(self) -> None:
        """Look at one tag after another, for ever."""
        async with asyncio.TaskGroup() as group:
            while True:
                await self._slots.acquire()
                reference = await self._next()
                group.create_task(self._one(reference), name=f"look {reference}")

    async def _next(self) -> Reference:
        while True:
            self._has_come.clear()
            now = self._clock()
            reference = min(self._waiting, key=self._waiting.__getitem__, default=None)
            if reference is None:
                await self._has_come.wait()
                continue
            pause = max(self._waiting[reference] - now, self._bucket.pause(self._rate, now))
            if pause <= 0:
                break
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._has_come.wait()  # it may be due earlier
        del self._waiting[reference]
        self._bucket.spend(self._rate, now)
        self._looked = {each: at for each, at in self._looked.items() if now - at < self._apart}
        self._looked[reference] = now
        return reference

    async def _one(self, reference: Reference) -> None:
        is_repeat = reference in self._repeats
        self._repeats.discard(reference)
        try:
            found_nothing = await self._look(reference)
            if found_nothing and not is_repeat and self._add(reference) is Queued.QUEUED:
                self._repeats.add(reference)
        except Exception as bug:
            _log.error("tag refresh failed: internal error", extra=fields(reference=str(reference)), exc_info=bug)
        finally:
            self._slots.release()
