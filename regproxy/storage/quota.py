"""The quota of the store: space is reserved before the first byte is written, and released when the last one is gone."""

import asyncio
import contextlib
import sys
from collections.abc import Awaitable, Callable

from regproxy.policy.store.quota import FileSystem, Limits, capacity, ceiling, on_disk, target
from regproxy.ports import Full, Oversized
from regproxy.storage import shared_usage
from regproxy.telemetry import metrics

_LOOK = 0.1  # seconds between two looks at what other processes have done
_TIMEOUT = 2.0  # seconds for an eviction to free space; it takes milliseconds, unless all there is is in use


class Quota:
    """The bytes that the store holds, and those reserved for ingests of all processes."""

    def __init__(self, limits: Limits, measure: Callable[[], Awaitable[FileSystem]]) -> None:
        """Enforce *limits* on the file system that *measure* looks at; usage is not shared until `usage` is replaced."""
        self.usage = shared_usage.alone()
        self._limits = limits
        self._measure = measure
        self._disk = FileSystem(0, sys.maxsize)  # nobody has looked yet: what is not known to be short must not be swept
        self._held_then = 0  # when somebody looked
        self._queue = asyncio.Lock()
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
        """Reserve *size* bytes, evicting if need be; raise `Full` if there is no space for them."""
        size = on_disk(size)
        await self.look()
        if size > self._capacity():
            raise self.refusal(size)
        if not self.grow(size):
            await self._wait_for(size)
        return Reservation(self, size)

    def refusal(self, size: int) -> Full:
        """Return why there is no room for *size* bytes: they are too many, something else fills the disk, or what is here is in use."""
        if size > ceiling(self._limits, self._disk):
            return Oversized(f"{size} bytes are more than the store may hold")
        if size > self._capacity():
            return Full(f"{size} bytes are more than the store may hold beside what else is on its disk")
        return Full(f"no space for {size} bytes: everything in the store is in use")

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
        needed = self.held + self.promised + self.usage.wanted
        if needed <= self._capacity():
            return 0
        return max(1, needed - target(self._limits, self._disk, self._held_then))

    def grow(self, size: int) -> bool:
        """Promise more without waiting, if it fits."""
        with self.usage.locked():
            fits = self.held + self.promised + size <= self._capacity()
            self.usage.promise(size if fits else 0)
        return fits

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

    def _capacity(self) -> int:
        return capacity(self._limits, self._disk, self._held_then)

    async def _wait_for(self, size: int) -> None:
        try:
            async with asyncio.timeout(_TIMEOUT), self._queue:
                await self._freed_for(size)
        except TimeoutError:
            raise self.refusal(size) from None

    async def _freed_for(self, size: int) -> None:
        self.usage.want(size)
        try:
            while not self.grow(size):
                self._freed.clear()
                self._short.set()
                await _either(self._freed)
        finally:
            self.usage.want(0)


class Reservation:
    """Space reserved for one file."""

    def __init__(self, quota: Quota, size: int) -> None:
        """Hold *size* bytes that *quota* has reserved."""
        self._quota = quota
        self._unused = size
        self._used = 0

    def use(self, size: int) -> None:
        """Write *size* bytes into it; raise `Full` where they are more than fit."""
        if (missing := size - self._unused) > 0 and not self._quota.grow(missing):
            raise self._quota.refusal(self._used + size)
        self._unused = max(0, self._unused - size)
        self._used += size
        self._quota.usage.promise(-size)
        self._quota.usage.write(size)
        self._quota.filled()

    def settle(self, replaced: int) -> None:
        """Count what was written as held, rounded up to blocks, in place of a file of *replaced* bytes."""
        size = on_disk(self._used) - on_disk(replaced)
        self.release()
        self._quota.put(size)

    def release(self) -> None:
        """Release the whole reservation."""
        self._quota.usage.write(-self._used)
        self._quota.usage.promise(-self._unused)
        self._unused = self._used = 0
        self._quota.freed()


async def _either(event: asyncio.Event) -> None:
    """Wait for an event, or long enough that another process may have done something."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_LOOK):
            await event.wait()
