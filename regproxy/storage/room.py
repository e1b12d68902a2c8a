"""Who may write how much: room is taken before the first byte is written, and given back when the last one is gone."""

import asyncio
import contextlib
import sys
from collections.abc import Awaitable, Callable

from regproxy import metrics
from regproxy.policy.room import FileSystem, Limits, capacity, on_disk, target
from regproxy.ports import Full
from regproxy.storage import tally

_LOOK = 0.1  # seconds between two looks at what other processes have done
_TIMEOUT = 2.0  # seconds for a sweep to make room; it takes milliseconds, unless all there is is in use


class Room:
    """The bytes that the store holds, and those promised to what is on its way in, by whichever process."""

    def __init__(self, limits: Limits, measure: Callable[[], Awaitable[FileSystem]]) -> None:
        """Take the limits and a way to look at the file system; count alone until told otherwise."""
        self.tally = tally.alone()
        self._limits = limits
        self._measure = measure
        self._disk = FileSystem(0, sys.maxsize)  # nobody has looked yet: what is not known to be short must not be swept
        self._held_then = 0  # when somebody looked
        self._queue = asyncio.Lock()
        self._short = asyncio.Event()
        self._freed = asyncio.Event()

    @property
    def held(self) -> int:
        return self.tally.held

    @property
    def promised(self) -> int:
        return self.tally.promised

    def limit(self, limits: Limits) -> None:
        """Go by other limits from now on."""
        self._limits = limits
        self.filled()

    async def reserve(self, size: int) -> "Reservation":
        """Promise *size* bytes, after a sweep if need be; raise `Full` where there is no room for them."""
        size = on_disk(size)
        await self.look()
        if size > self._capacity():
            raise Full(f"{size} bytes are more than the store may hold")
        if not self.grow(size):
            await self._wait_for(size)
        return Reservation(self, size)

    async def look(self) -> None:
        """Look at the file system again, and call for a sweep where it is too full."""
        disk = await self._measure()
        self._disk, self._held_then = disk, self.held
        if self.excess():
            self._short.set()

    async def shortage(self) -> int:
        """Wait until bytes have to go, and tell how many."""
        while not (self._short.is_set() or self.excess()):
            await _either(self._short)
        self._short.clear()
        return self.excess()

    def excess(self) -> int:
        """Tell how many bytes have to go; 0 as long as everything fits."""
        needed = self.held + self.promised + self.tally.wanted
        if needed <= self._capacity():
            return 0
        return max(1, needed - target(self._limits, self._disk, self._held_then))

    def grow(self, size: int) -> bool:
        """Promise more without waiting, if it fits."""
        with self.tally.turn():
            fits = self.held + self.promised + size <= self._capacity()
            self.tally.promise(size if fits else 0)
        return fits

    def put(self, size: int) -> None:
        """Note that *size* more bytes lie on the disk, or less where it is negative."""
        self.tally.hold(size)
        if size < 0:
            self.freed()
        else:
            self.filled()

    def filled(self) -> None:
        """See whether something has to go now."""
        metrics.STORE_BYTES.set(self.held)
        if self.excess():
            self._short.set()

    def freed(self) -> None:
        """Let those who wait for room try again."""
        metrics.STORE_BYTES.set(self.held)
        self._freed.set()

    def _capacity(self) -> int:
        return capacity(self._limits, self._disk, self._held_then)

    async def _wait_for(self, size: int) -> None:
        try:
            async with asyncio.timeout(_TIMEOUT), self._queue:
                await self._freed_for(size)
        except TimeoutError:
            raise Full(f"no room for {size} bytes: all that the store holds is in use") from None

    async def _freed_for(self, size: int) -> None:
        self.tally.want(size)
        try:
            while not self.grow(size):
                self._freed.clear()
                self._short.set()
                await _either(self._freed)
        finally:
            self.tally.want(0)


class Reservation:
    """Room promised to one file."""

    def __init__(self, room: Room, size: int) -> None:
        """Hold *size* bytes that *room* has promised."""
        self._room = room
        self._unused = size
        self._used = 0

    def use(self, size: int) -> bool:
        """Write *size* bytes into it; say False where they are more than fit."""
        if (missing := size - self._unused) > 0 and not self._room.grow(missing):
            return False
        self._unused = max(0, self._unused - size)
        self._used += size
        self._room.tally.promise(-size)
        self._room.tally.write(size)
        self._room.filled()
        return True

    def settle(self, replaced: int) -> None:
        """Let what was written stay, rounded up as the disk does, in place of a file of *replaced* bytes."""
        size = on_disk(self._used) - on_disk(replaced)
        self.release()
        self._room.put(size)

    def release(self) -> None:
        """Give everything back."""
        self._room.tally.write(-self._used)
        self._room.tally.promise(-self._unused)
        self._unused = self._used = 0
        self._room.freed()


async def _either(event: asyncio.Event) -> None:
    """Wait for an event, or long enough that another process may have done something."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_LOOK):
            await event.wait()
