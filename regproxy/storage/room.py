"""Who may write how much: room is taken before the first byte is written, and given back when the last one is gone."""

import asyncio
import sys
from collections.abc import Awaitable, Callable

from regproxy import metrics
from regproxy.policy.room import FileSystem, Limits, capacity, on_disk, target
from regproxy.ports import Full

_PATIENCE = 2.0  # seconds for a sweep to make room; it takes milliseconds, unless all there is is in use


class Room:
    """The bytes that the store holds, and those promised to what is on its way in."""

    def __init__(self, limits: Limits, measure: Callable[[], Awaitable[FileSystem]]) -> None:
        """Take the limits and a way to look at the file system."""
        self._limits = limits
        self._measure = measure
        self._disk = FileSystem(0, sys.maxsize)  # nobody has looked yet: what is not known to be short must not be swept
        self._wanted = 0  # bytes that whoever is first in the queue waits for
        self._queue = asyncio.Lock()
        self._short = asyncio.Event()
        self._freed = asyncio.Event()
        self.held = 0
        self.promised = 0

    async def reserve(self, size: int) -> "Reservation":
        """Promise *size* bytes, after a sweep if need be; raise `Full` where there is no room for them."""
        size = on_disk(size)
        await self.look()
        if size > capacity(self._limits, self._disk, self.held):
            raise Full(f"{size} bytes are more than the store may hold")
        if not self._fits(size):
            await self._wait_for(size)
        self.promised += size
        return Reservation(self, size)

    async def look(self) -> None:
        """Look at the file system again, and call for a sweep where it is too full."""
        self._disk = await self._measure()
        if self.excess():
            self._short.set()

    async def shortage(self) -> int:
        """Wait until bytes have to go, and tell how many."""
        await self._short.wait()
        self._short.clear()
        return self.excess()

    def excess(self) -> int:
        """Tell how many bytes have to go; 0 as long as everything fits."""
        needed = self.held + self.promised + self._wanted
        if needed <= capacity(self._limits, self._disk, self.held):
            return 0
        return max(1, needed - target(self._limits, self._disk, self.held))

    def grow(self, size: int) -> bool:
        """Promise more without waiting, if it fits."""
        fits = self._fits(size)
        self.promised += size if fits else 0
        return fits

    def put(self, size: int) -> None:
        """Note that *size* more bytes lie on the disk, or less where it is negative."""
        self.held += size
        self._disk = FileSystem(self._disk.size, self._disk.free - size)
        metrics.STORE_BYTES.set(self.held)
        if size < 0:
            self._freed.set()
        elif self.excess():
            self._short.set()

    def _fits(self, size: int) -> bool:
        return self.held + self.promised + size <= capacity(self._limits, self._disk, self.held)

    async def _wait_for(self, size: int) -> None:
        try:
            async with asyncio.timeout(_PATIENCE), self._queue:
                await self._freed_for(size)
        except TimeoutError:
            raise Full(f"no room for {size} bytes: all that the store holds is in use") from None

    async def _freed_for(self, size: int) -> None:
        self._wanted = size
        try:
            while not self._fits(size):
                self._freed.clear()
                self._short.set()
                await self._freed.wait()
        finally:
            self._wanted = 0


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
        self._room.promised -= size
        self._room.put(size)
        self._used += size
        return True

    def settle(self, replaced: int) -> None:
        """Let what was written stay, rounded up as the disk does, in place of a file of *replaced* bytes."""
        self._return(on_disk(replaced) - (on_disk(self._used) - self._used))

    def release(self) -> None:
        """Give everything back."""
        self._return(self._used)

    def _return(self, size: int) -> None:
        self._room.promised -= self._unused
        self._unused = self._used = 0
        self._room.put(-size)
