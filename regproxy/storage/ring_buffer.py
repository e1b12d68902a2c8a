"""Content that cannot be kept, on its way from upstream to those who read it: a ring of memory with the sockets of a file.

A byte stays until its slowest reader has had it, so upstream goes as fast as that one. A reader that stands still is cut off by whoever
sends to it.
"""

import asyncio
import os
from collections.abc import Callable
from typing import BinaryIO

from regproxy.ports import Extent

WINDOW = 16 * 1024 * 1024  # bytes per blob: enough for readers to differ by a second or so
_STEP = 1024 * 1024  # a reader asks again, and so tells where it is, after this many bytes


class RingBuffer:
    """The bytes from the slowest reader's on, at most `WINDOW` of them."""

    def __init__(self, start: int, slowest: Callable[[], int | None]) -> None:
        """Begin at offset *start* of the content; *slowest* finds the slowest reader's offset, None where nobody reads."""
        self.file: BinaryIO = os.fdopen(os.memfd_create("regproxy", os.MFD_CLOEXEC), "rb+", buffering=0)
        self._begin = self.end = start
        self._slowest = slowest
        self._has_moved = asyncio.Event()

    @property
    def begin(self) -> int:
        """The first byte that can still be read."""
        return max(self._begin, self.end - WINDOW)

    def moved(self) -> None:
        """Record that a reader has moved on or left."""
        self._has_moved.set()

    async def write(self, piece: memoryview) -> bool:
        """Append, waiting for the slowest reader; return False once there is no reader."""
        while piece:
            room = await self._room()
            if not room:
                return False
            at = self.end % WINDOW
            written = os.pwrite(self.file.fileno(), piece[: min(room, WINDOW - at)], at)
            self.end += written
            piece = piece[written:]
        return True

    def extent(self, start: int, stop: int) -> Extent:
        """Return where the bytes from *start* on lie: some of them, at most up to *stop*."""
        at = start % WINDOW
        return Extent(self.file, at, min(stop - start, WINDOW - at, _STEP), is_lasting=False)

    def close(self) -> None:
        self.file.close()

    async def _room(self) -> int:
        """Wait for free space, and return how much; 0 once there is no reader."""
        while (slowest := self._slowest()) is not None:
            if (room := WINDOW - (self.end - max(self._begin, slowest))) > 0:
                return min(room, WINDOW)
            self._has_moved.clear()
            await self._has_moved.wait()
        return 0
