"""Documents that are large: their bytes are bounded on all of their way, and they are parsed off the loop one after another.

A manifest from upstream is received, parsed, written to the store and to the index. Were each step bounded for itself, documents would
pile up between them, before a slow disk above all. So a document has an allocation, which ends with the last step. A parsed form takes
some six times the size of its document, and there is one at a time.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import TypeVar

from regproxy.client import client
from regproxy.policy.clients.sharing import Share
from regproxy.slots import Slots

LARGE = 128 * 1024  # bytes; what is smaller is read in a millisecond
_MAX_BYTES = Share.of(32 * 1024 * 1024)  # of this process, in documents that are large; one has at most 8 MiB
_MAX_READS = Share.of(4)  # of a thousand parts of a file each: others need threads, too

_bytes = Slots(_MAX_BYTES)
_reads = Slots(_MAX_READS)
_parser = ThreadPoolExecutor(1, "parser")
_recording = Slots(Share.of(1))

Result = TypeVar("Result")


class Allocation:
    """The bytes of memory that a document takes, until the last of those who need it has released them."""

    def __init__(self) -> None:
        """Allocate nothing yet, for the current client."""
        self._owner = client.get()
        self._size = 0
        self._holders = 1

    def __repr__(self) -> str:
        return f"<Allocation {self._size} bytes, {self._holders} holders>"

    @property
    def is_open(self) -> bool:
        return self._holders > 0

    async def require(self, size: int) -> None:
        """Wait until *size* bytes are allocated in all; the present allocation is released first, so that no waiter holds any."""
        if size <= self._size:
            return
        self._give_back()
        await _bytes.take(weight=size)
        self._size, self._owner = size, client.get()
        if not self.is_open:
            self._give_back()

    def share(self) -> None:
        """Add a holder."""
        self._holders += 1

    def release(self, _: object = None) -> None:
        """Remove a holder."""
        self._holders -= 1
        if not self.is_open:
            self._give_back()

    def _give_back(self) -> None:
        size, self._size = self._size, 0
        if size:
            _bytes.give_back(self._owner, size)


_current: ContextVar[Allocation | None] = ContextVar("allocation", default=None)


@asynccontextmanager
async def allocation() -> AsyncIterator[Allocation]:
    """Keep the document that is `held` within allocated until this block ends and all who share the allocation have released it."""
    allocated = Allocation()
    before = _current.set(allocated)
    try:
        yield allocated
    finally:
        _current.reset(before)
        allocated.release()


def current() -> Allocation | None:
    """Return the allocation of the document that the current task handles."""
    allocated = _current.get()
    return allocated if allocated is not None and allocated.is_open else None


@asynccontextmanager
async def held(size: int) -> AsyncIterator[None]:
    """Allocate memory for a document of *size* bytes; a large one waits while others hold too much."""
    if size <= LARGE:
        yield
        return
    if (outer := current()) is not None:
        await outer.require(size)
        yield
        return
    async with allocation() as own:
        await own.require(size)
        yield


@asynccontextmanager
async def recorded(size: int) -> AsyncIterator[None]:
    """Allocate memory for the parsed entries of a document of *size* bytes, which take as much again: one large document at a time."""
    if size <= LARGE:
        yield
        return
    async with _recording.held():
        yield


async def parsed(size: int, parse: Callable[[], Result]) -> Result:
    """Call *parse*, which reads a document of *size* bytes; raise what it raises."""
    if size <= LARGE:
        return parse()
    return await asyncio.get_running_loop().run_in_executor(_parser, parse)


async def read(blocking: Callable[[], Result]) -> Result:
    """Call *blocking*, which reads here and there in files, in a thread, in turn with other clients; raise what it raises."""
    async with _reads.held():
        return await asyncio.get_running_loop().run_in_executor(None, blocking)
