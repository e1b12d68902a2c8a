"""Committed content with a descriptor that stays open for the next hit."""

import os
import stat
from collections.abc import Awaitable, Callable
from typing import BinaryIO

from cachetools import LRUCache

from regproxy.oci.digest import Digest
from regproxy.ports import Extent

PUT_ASIDE = stat.S_IFREG  # a file of no permissions: every process that has it open sees that it is not to be served


class OpenBlob:
    """A file that was opened once and is read by many (port Content)."""

    def __init__(self, file: BinaryIO, size: int, spoil: Callable[[], Awaitable[None]]) -> None:
        """Own *file*, with one reference for the caller; *spoil* quarantines the file."""
        self.file = file
        self.size = size
        self._spoil = spoil
        self._holders = 1
        self._when_closed: Callable[[], None] | None = None

    @property
    def is_kept(self) -> bool:
        return not self.file.closed and self.is_intact(self.size)

    def is_intact(self, size: int) -> bool:
        """Report whether the file is still there, still *size* bytes long and not put aside: one fstat, no thread."""
        status = os.fstat(self.file.fileno())
        return status.st_size == size and status.st_nlink > 0 and status.st_mode != PUT_ASIDE

    def hold(self) -> "OpenBlob":
        self._holders += 1
        return self

    async def extent(self, start: int, stop: int) -> Extent:
        return Extent(self.file, start, stop - start)

    async def spoiled(self) -> None:
        await self._spoil()

    def when_closed(self, call: Callable[[], None]) -> None:
        """Call when the last reader is done: a file without a name takes room until then."""
        if self.file.closed:
            call()
        else:
            self._when_closed = call

    def release(self) -> None:
        self._holders -= 1
        if not self._holders:
            self.file.close()
            if self._when_closed is not None:
                self._when_closed()


class OpenFiles(LRUCache[Digest, OpenBlob]):
    """The descriptors kept open; one that falls out is closed by its last reader."""

    def let_go(self) -> None:
        """Close what is there no longer: a file without a name takes room for as long as it is open."""
        for digest, blob in list(self.items()):
            if not blob.is_intact(blob.size):
                del self[digest]

    def __delitem__(self, digest: Digest) -> None:
        blob = self[digest]
        super().__delitem__(digest)
        blob.release()
