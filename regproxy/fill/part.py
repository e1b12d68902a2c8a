"""Parts of a blob that clients wait for ahead of their turn, and who reads them out of the fill that brings them.

What is read so is unverified: nobody knows what is right before all of it is here.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from regproxy.policy.store.runs import Runs
from regproxy.ports import Extent, StoredBytes, StoreError, Unavailable, UpstreamError, detached

if TYPE_CHECKING:
    from regproxy.fill.fill import Fill


@dataclass(frozen=True, slots=True)
class Scattered:
    """Where bytes lie that came ahead of their turn or not, and what is equal for two that are of the same copy."""

    extent: Extent
    origin: object


class Want:
    """Bytes *start* to *stop* of a blob that somebody waits for; *stop* may lie beyond its end."""

    def __init__(self, start: int, stop: int) -> None:
        self.start = start
        self.stop = stop
        self.is_in_order = False  # whether some of them come with what is fetched in order
        self.error: UpstreamError | StoreError | None = None  # why they do not come ahead of their turn

    def __repr__(self) -> str:
        return f"<Want {self.start}-{self.stop}>"


class Ahead(Protocol):
    """Whoever fetches parts ahead of their turn, into where they belong."""

    claims: Runs  # what is there, or on its way there

    @property
    def is_busy(self) -> bool:
        """Whether it fetches something."""

    async def read(self, start: int, stop: int) -> StoredBytes | None:
        """Wait for some of these bytes, from *start* on; None where they are neither there nor on their way, or cannot be read."""


class Bringer(Protocol):
    """Whoever brings parts."""

    def take(self, want: Want) -> None:
        """Bring it, or set its error, and notify the fill of either."""

    def leave(self, want: Want) -> None:
        """Stop bringing it: nobody waits any more."""


class Part:
    """One reader of some parts of a blob, in the order in which they are asked for (port Content)."""

    is_kept = False

    def __init__(self, fill: "Fill", places: Sequence[tuple[int, int]], stall_timeout: float, end: Callable[[], None]) -> None:
        """Ask for the first of *places*; wait no longer than *stall_timeout* seconds without a byte, and call *end* when released."""
        self._fill = fill
        self._places = places
        self._stall_timeout = stall_timeout
        self._end = end
        self._origin: object = None  # of what was read so far
        self._want = Want(*places[0])
        fill.want(self._want)

    @property
    def size(self) -> int:
        return self._fill.told

    async def started(self) -> None:
        """Wait for the first byte; raise what keeps it from coming ahead of its turn, `StoreError` where nothing does so."""
        async with self._limited():
            while not self._fill.reaches(self._want.start):
                if self._want.error is not None:
                    raise detached(self._want.error)
                self._fill.check()
                await self._fill.changed()

    async def extent(self, start: int, stop: int) -> Extent:
        """Wait for bytes from *start* on, and return where some of those before *stop* lie; raise what keeps them from coming."""
        self._ask_for(start)
        async with self._limited():
            while (found := self._fill.scattered(start, stop)) is None:
                self._fill.check()
                if self._want.error is not None:
                    raise Unavailable(f"a part of {self._fill.digest} does not come: {self._want.error}")
                await self._fill.changed()
        if self._origin not in {None, found.origin}:
            raise Unavailable(f"what was sent of {self._fill.digest} was wrong or is gone")
        self._origin = found.origin
        return found.extent

    @asynccontextmanager
    async def _limited(self) -> AsyncIterator[None]:
        """Wait for so long as a client is left without a byte."""
        try:
            async with asyncio.timeout(self._stall_timeout):
                yield
        except TimeoutError as error:
            raise Unavailable(f"no byte of a part of {self._fill.digest} came for {self._stall_timeout:g} s", timed_out=True) from error

    def _ask_for(self, start: int) -> None:
        """Ask for the place that *start* lies in, where that is another one than before."""
        if self._want.start <= start < self._want.stop:
            return
        place = next((place for place in self._places if place[0] <= start < place[1]), None)
        if place is not None:
            self._fill.unwant(self._want)
            self._want = Want(*place)
            self._fill.want(self._want)

    async def spoiled(self) -> None:
        """Leave it to the copy, which finds out for itself when it is written."""

    def release(self) -> None:
        self._fill.unwant(self._want)
        self._fill.release()
        self._end()
