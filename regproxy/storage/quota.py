"""The quota of the store: an ingest is admitted by its whole size, and content is evicted for it as its bytes come.

What is admitted could be finished if nothing else were stored. What was only announced evicts next to nothing: a host may announce far
more than it sends. No byte is written without space for it.
"""

import asyncio
import contextlib
import sys
from collections.abc import Awaitable, Callable
from functools import partial

from regproxy.policy.store.quota import FileSystem, Limits, admits, ahead, capacity, ceiling, on_disk, target
from regproxy.ports import Full, Oversized
from regproxy.storage import shared_usage
from regproxy.telemetry import metrics

_LOOK = 0.1  # seconds between two looks at what other processes have done
_TIMEOUT = 2.0  # seconds for other ingests to end, or an eviction to free space; it takes milliseconds, unless all there is is in use


class Quota:
    """The bytes that the store holds, and those reserved for ingests of all processes."""

    def __init__(self, limits: Limits, measure: Callable[[], Awaitable[FileSystem]]) -> None:
        """Enforce *limits* on the file system that *measure* looks at; usage is not shared until `usage` is replaced."""
        self.usage = shared_usage.alone()
        self._limits = limits
        self._measure = measure
        self._disk = FileSystem(0, sys.maxsize)  # nobody has looked yet: what is not known to be short must not be swept
        self._held_then = 0  # when somebody looked
        self._difference: int | None = None  # between the partial files and their count, when somebody looked last
        self._admission, self._writing = asyncio.Lock(), asyncio.Lock()  # what waits to begin must not delay what has begun
        self._short = asyncio.Event()
        self._freed = asyncio.Event()

    @property
    def held(self) -> int:
        return self.usage.held

    @property
    def promised(self) -> int:
        return self.usage.promised

    def limit(self, limits: Limits) -> None:
        """Go by other limits from now on."""
        self._limits = limits
        self.filled()

    async def reserve(self, size: int) -> "Reservation":
        """Admit an ingest of *size* bytes, when others have ended if need be; raise `Full` if the store cannot hold it beside them."""
        size = on_disk(size)
        await self.look()
        if not admits(self._capacity(), 0, size) or not (self.admit(size) or await self._when(partial(self.admit, size), self._admission)):
            raise self.refusal(size)
        return Reservation(self, size)

    def refusal(self, size: int) -> Full:
        """Return why there is no room for *size* bytes: they are too many, something else fills the disk, or what is here is in use."""
        if not admits(ceiling(self._limits, self._disk), 0, size):
            return Oversized(f"{size} bytes are more than the store may hold")
        if not admits(self._capacity(), 0, size):
            return Full(
                f"{size} bytes are more than the store may hold beside what else is on its disk:"
                f" {self._disk.used:.0%} of it are used, and store.high_watermark is {self._limits.high:.0%}"
            )
        return Full(f"no space for {size} bytes: everything in the store is in use or being fetched")

    async def ceiling(self) -> int:
        """Return how many bytes the store could hold if nothing else lay on its disk."""
        await self.look()
        return ceiling(self._limits, self._disk)

    async def look(self) -> None:
        """Look at the file system again, and call for a sweep where it is too full."""
        disk = await self._measure()
        self._disk, self._held_then = disk, self.held
        if self.excess():
            self._short.set()

    async def shortage(self) -> int:
        """Wait until bytes have to go, and return how many."""
        while not (self._short.is_set() or self.excess()):
            await _either(self._short)
        self._short.clear()
        return self.excess()

    def excess(self) -> int:
        """Return how many bytes have to go; 0 as long as everything fits."""
        most = self._capacity()
        needed = self.held + max(self.usage.wanted, ahead(most, self.promised))
        if needed <= most:
            return 0
        return max(1, needed - target(self._limits, self._disk, self._held_then, needed))

    def admit(self, size: int, used: int = 0) -> bool:
        """Promise *size* bytes to an ingest that has *used* some already, if it may have them all."""
        with self.usage.locked():
            others = self.usage.writing + self.promised - used
            fits = admits(self._capacity(), others, used + size)
            self.usage.promise(size if fits else 0)
        self.filled()
        return fits

    async def use(self, size: int) -> bool:
        """Count *size* bytes as being written, when space is evicted for them if need be; return False where it cannot be."""
        if self._take(size):
            return True
        self.usage.want(size)
        try:
            return await self._when(partial(self._take, size), self._writing)
        finally:
            self.usage.want(-size)

    def put(self, size: int) -> None:
        """Record that *size* more bytes lie on the disk, or less where it is negative."""
        self.usage.hold(size)
        if size < 0:
            self.freed()
        else:
            self.filled()

    def filled(self) -> None:
        """Wake the evictor where the store is over its limits."""
        metrics.STORE_BYTES.set(self.held)
        if self.excess():
            self._short.set()

    def freed(self) -> None:
        """Wake the waiters for space."""
        metrics.STORE_BYTES.set(self.held)
        self._freed.set()

    def trimmed(self, before: int, freed: int, left: int) -> None:
        """Count *freed* bytes less in partial files that nobody writes, and believe the *left* ones where two looks differ as much.

        There were said to be *before* so many. What is left behind or taken over while somebody looks may be seen, and be counted as well:
        a look in which that happened tells nothing.
        """
        if self.usage.abandoned == before:
            self._judge(left + freed - before)
        self.usage.abandon(-freed)
        self.freed()
        self.filled()

    def _judge(self, difference: int) -> None:
        """Count what two looks in a row differ by, or the first of all."""
        if difference == self._difference or self._difference is None:
            self.usage.abandon(difference)
            self._difference = 0
        else:
            self._difference = difference

    def _capacity(self) -> int:
        return capacity(self._limits, self._disk, self._held_then)

    def _take(self, size: int) -> bool:
        with self.usage.locked():
            fits = self.held + size <= self._capacity()
            self.usage.write(size if fits else 0)
        self.filled()
        return fits

    async def _when(self, fits: Callable[[], bool], queue: asyncio.Lock) -> bool:
        """Wait in a *queue* until something *fits*, but not for long; return whether it does."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_TIMEOUT), queue:
                while not fits():
                    self._freed.clear()
                    self._short.set()
                    await _either(self._freed)
                return True
        return False


class Reservation:
    """Space for one file: what was promised to it, and what it has used, in whole blocks."""

    def __init__(self, quota: Quota, size: int) -> None:
        """Hold *size* bytes that *quota* has promised."""
        self._quota = quota
        self._promised = size
        self._written = 0
        self._used = 0

    async def use(self, size: int) -> None:
        """Wait for space for the next *size* bytes; raise `Full` where there is none."""
        blocks = on_disk(self._written + size) - self._used
        missing = max(0, blocks - self._promised)
        if missing:
            if not self._quota.admit(missing, self._used + self._promised):
                raise self._quota.refusal(self._used + blocks)
            self._promised += missing
        if not await self._quota.use(blocks):
            raise self._quota.refusal(self._used + blocks)
        self._quota.usage.promise(-blocks)
        self._promised -= blocks
        self._written += size
        self._used += blocks

    def resume(self, size: int, found: int) -> None:
        """Count *size* bytes of an abandoned file, which took *found* on the disk, as used by us: that many were promised."""
        self._written, self._used = size, on_disk(size)
        self._promised -= self._used
        usage = self._quota.usage
        usage.write(self._used)
        usage.promise(-self._used)
        usage.abandon(-found)
        self._quota.freed()

    def settle(self, size: int, replaced: int, removed: int = 0) -> None:
        """Count *size* bytes as held, in place of a file of *replaced* bytes; *removed* bytes of abandoned files went with it."""
        size = on_disk(size) - on_disk(replaced)
        self.release()
        self._quota.usage.abandon(-removed)
        self._quota.put(size)

    def stop(self) -> None:
        """Release what was promised and not written: no more will be. What was written may still be read."""
        self._quota.usage.promise(-self._promised)
        self._promised = 0
        self._quota.freed()

    def abandon(self, size: int) -> None:
        """Release the reservation, and go on counting the *size* bytes that the file takes: it stays."""
        self._quota.usage.abandon(size)
        self.release()

    def release(self) -> None:
        """Release the whole reservation."""
        self._quota.usage.write(-self._used)
        self._quota.usage.promise(-self._promised)
        self._promised = self._written = self._used = 0
        self._quota.freed()


async def _either(event: asyncio.Event) -> None:
    """Wait for an event, or long enough that another process may have done something."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_LOOK):
            await event.wait()
