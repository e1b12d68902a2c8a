"""One reader of a fill, in order."""

import sys
from typing import TYPE_CHECKING

from regproxy.ports import Extent

if TYPE_CHECKING:
    from regproxy.fill.fill import Fill


class Follower:
    """How far a reader is (port Content)."""

    def __init__(self, fill: "Fill") -> None:
        """Begin at the beginning."""
        self.position = 0
        self._fill = fill

    @property
    def size(self) -> int:
        return self._fill.size

    @property
    def is_kept(self) -> bool:
        return False

    async def started(self) -> None:
        await self._fill.started()

    async def over(self) -> None:
        """Wait for the end of the copy, and read none of it; raise what keeps the blob from coming."""
        self.position = sys.maxsize  # nothing waits for us to read it
        self._fill.moved()
        await self._fill.over()

    async def extent(self, start: int, stop: int) -> Extent:
        self.position = start
        self._fill.moved()
        return await self._fill.extent(start, stop)

    async def spoiled(self) -> None:
        """Leave it to the copy, which finds out for itself when it is written."""

    def release(self) -> None:
        self._fill.leave(self)
