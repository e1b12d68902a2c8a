"""Bytes on their way from the receiver to the disk.

Receiving overlaps with hashing and writing: while a thread writes what has arrived, more arrives, up to a limit.
"""

import asyncio
from collections.abc import Callable

from regproxy.ports import Ingest

_UNWRITTEN = 4 * 1024 * 1024  # bytes received and not yet on disk; past that upstream has to wait


class Writer:
    """Writes behind the receiver's back, everything that has arrived at a time."""

    def __init__(self, ingest: Ingest, advance: Callable[[int], None]) -> None:
        """Write to *ingest*, and call *advance* with the number of bytes written."""
        self._ingest = ingest
        self._advance = advance
        self._unwritten: list[bytes] = []
        self._size = 0
        self._task: asyncio.Task[None] | None = None

    async def put(self, chunk: bytes) -> None:
        self._unwritten.append(chunk)
        self._size += len(chunk)
        if self._task is not None and (self._task.done() or self._size > _UNWRITTEN):
            await self._task
            self._task = None
        if self._task is None:
            self._task = asyncio.create_task(self._flush())

    async def finish(self) -> None:
        """Wait until all is written; raise what kept it from being."""
        if self._task is not None:
            await self._task
        await self._flush()

    async def stop(self) -> None:
        """Wait for the write in progress, whatever became of it: the file must not close under it."""
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)

    async def _flush(self) -> None:
        while self._unwritten:
            batch, self._unwritten, self._size = self._unwritten, [], 0
            await self._ingest.write(batch)
            self._advance(sum(map(len, batch)))
