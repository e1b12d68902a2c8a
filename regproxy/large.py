"""Documents that are large are handled a few at a time, and read off the loop one after another: each takes many times its size."""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TypeVar

from regproxy.policy.sharing import Share
from regproxy.slots import Slots

LARGE = 128 * 1024  # bytes; what is smaller is read in a millisecond
_MAX_AT_ONCE = Share.of(8)  # of this process; each is at most 8 MiB

_MAX_READS = Share.of(4)  # of a thousand parts of a file each: others need threads, too

_slots = Slots(_MAX_AT_ONCE)
_reads = Slots(_MAX_READS)
_parser = ThreadPoolExecutor(1, "parser")

Result = TypeVar("Result")


@asynccontextmanager
async def held(size: int) -> AsyncIterator[None]:
    """Have a document of *size* bytes in memory that nobody has looked at yet; wait for one's turn where it is large."""
    if size <= LARGE:
        yield
        return
    async with _slots.held():
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
