"""Content being ingested: written to a file, or, where the disk refuses it, passed through memory.

What the disk has taken stays readable; from the byte on that it refused, the content lives in a window of memory, and is not kept.
"""

import asyncio
import logging
import os
from collections.abc import Callable, Sequence
from typing import BinaryIO

from regproxy.oci.digest import Digest
from regproxy.policy.store.runs import Runs
from regproxy.ports import Extent, Full, Gone, IngestStage, StoredBytes, StoreError, detached
from regproxy.storage.blob_files import origin_of
from regproxy.storage.partial_file import PartialFile
from regproxy.storage.ring_buffer import RingBuffer
from regproxy.storage.threads import Runner
from regproxy.storage.trouble import Trouble
from regproxy.telemetry.log import fields

_READ = 4 * 1024 * 1024

_log = logging.getLogger(__name__)


class DiskIngest:
    """Content that is hashed as it comes, and kept if it can be (port Ingest)."""

    def __init__(
        self,
        digest: Digest,
        run: Runner,
        trouble: Trouble,
        growing: PartialFile | StoreError,
        note: Callable[..., None],
        begun: BinaryIO | None = None,
    ) -> None:
        """Write to a file, or, where there is none, remember why, and read what is *begun*; *run* calls the disk, *note* tells others."""
        self._run = run
        self._note = note
        self._trouble = trouble
        self._growing = growing if isinstance(growing, PartialFile) else None
        self._file = growing.file if isinstance(growing, PartialFile) else begun
        self._refused: StoreError | None = None
        self._is_given_up = False  # what comes next has nobody to go to
        if isinstance(growing, StoreError):
            self._refused = detached(growing)
            if begun is None:  # otherwise the process that began it has said why
                trouble.begin(growing)
        self._verifier = digest.verifier()
        self._window: RingBuffer | None = None
        self._slowest: Callable[[], int | None] = _nobody
        self._on_disk = 0
        self._reserving = asyncio.Lock()  # what is written ahead of its turn reserves space beside what is not

    @property
    def is_whole(self) -> bool:
        return not self._is_given_up and (self._window is None or self._window.begin <= self._on_disk)

    @property
    def origin(self) -> object:
        return None if self._file is None else origin_of(self._file)

    def announce(self, size: int | None) -> None:
        """Publish the partial file to other processes, or that there is none to read."""
        if self._growing is None or self._refused is not None:
            self._tell(end=IngestStage.ALONE.value)
        else:
            self._tell(file=self._growing.name, size=size)

    @property
    def written(self) -> int:
        """How many bytes can be read, those included that have gone since."""
        return self._on_disk if self._window is None else self._window.end

    async def read_again(self, stop: int) -> None:
        """Hash what was taken over: it is believed no more than what comes from upstream; raise `StoreError`."""
        while self._file is not None and self._on_disk < stop:
            count = min(_READ, stop - self._on_disk)
            chunk = await self._run(os.pread, self._file.fileno(), count, self._on_disk)
            if not chunk:
                raise Gone("it is shorter than it was")
            await asyncio.to_thread(self._verifier.update, chunk)
            self._on_disk += len(chunk)

    @property
    def can_scatter(self) -> bool:
        return self._growing is not None and self._refused is None and self._growing.can_scatter

    async def scatter(self, start: int, chunks: Sequence[bytes]) -> None:
        growing = self._growing
        if growing is None or self._refused is not None:
            raise detached(self._refused or Full("it is not kept"))
        if start < self._on_disk:
            raise StoreError("it was written and hashed before")
        stop = start + sum(map(len, chunks))
        await self._reserve(growing, growing.runs.gaps(start, stop))
        try:
            await self._run(self._scatter, growing, start, chunks)
        except StoreError as error:
            self._refuse(error)  # bytes that are overdue may be written at any moment: the file is not to be believed any more
            self._tell(end=IngestStage.ALONE.value)
            raise

    async def read(self, start: int, stop: int) -> StoredBytes:
        extent = self.extent(start, stop)
        chunk = await self._run(os.pread, extent.file.fileno(), extent.length, extent.offset)
        if not chunk:
            raise StoreError("it is shorter than it was")
        return StoredBytes(chunk)

    async def write(self, chunks: Sequence[bytes]) -> None:
        # Not on the disk's threads: a disk that hangs must not keep us from knowing what is right.
        hashing = asyncio.to_thread(self._hash, chunks)
        before = self._on_disk
        if self._growing is not None and self._refused is None:
            await asyncio.gather(hashing, self._keep(self._growing, chunks))
        else:
            await hashing
        if self._refused is not None:
            reached = self._on_disk  # read once: a write that was overdue may come back at any moment
            await self._pass(chunks, reached, reached - before, self._refused)

    def reach(self, start: int) -> int:
        on_disk = max(start, self._on_disk)  # what passes through memory is there for those who read in order
        return on_disk if self._growing is None else max(on_disk, self._growing.runs.reach(start))

    def extent(self, start: int, stop: int) -> Extent:
        if self._file is not None and start < self._on_disk:
            return Extent(self._file, start, min(stop, self._on_disk) - start)
        if self._growing is not None and (reached := self._growing.runs.reach(start)) > start:
            return Extent(self._growing.file, start, min(stop, reached) - start)
        if self._window is None or start < self._window.begin:
            raise StoreError("the content is not kept, and its beginning is gone")
        return self._window.extent(start, stop)

    def follow(self, slowest: Callable[[], int | None]) -> None:
        self._slowest = slowest

    def moved(self) -> None:
        if self._window is not None:
            self._window.moved()

    def verify(self) -> None:
        self._verifier.check()

    async def commit(self) -> None:
        self.verify()
        if self._refused is not None:
            raise detached(self._refused)
        if self._growing is not None and not self._growing.is_committed:
            try:
                replaced = await self._run(self._growing.commit)
                self._growing.reservation.settle(self._on_disk, replaced.size, replaced.removed)
            except StoreError as error:
                self._trouble.begin(error)
                self._tell(end=IngestStage.VERIFIED.value)
                raise
            self._trouble.end()
            self._tell(end=IngestStage.KEPT.value)

    def leave(self) -> None:
        if self._growing is not None and self._refused is None and not self._growing.is_committed:
            self._growing.leave()

    async def discard(self) -> None:
        if self._growing is None or self._growing.is_committed:
            return
        try:
            await self._run(self._growing.discard)
        except StoreError as error:
            _log.warning("partial file left behind: it goes where space is short", extra=fields(reason=str(error)))
            self._growing.is_abandoned = True
        self._growing.reservation.stop()

    def close(self) -> None:
        left = self._growing.taken if self._growing is not None and self._growing.is_abandoned else None
        for file in (self._file, self._window and self._window.file):
            if file is not None:
                file.close()
        if self._growing is None:
            return
        if left is not None:
            self._growing.reservation.abandon(left)
        else:
            self._growing.reservation.release()

    def _hash(self, chunks: Sequence[bytes]) -> None:
        for chunk in chunks:
            self._verifier.update(chunk)

    async def _keep(self, growing: PartialFile, chunks: Sequence[bytes]) -> None:
        try:
            await self._reserve(growing, _missing(growing.runs, self._on_disk, chunks))
            await self._run(self._append, growing, chunks)
        except StoreError as error:
            self._refuse(error)
            self._tell(end=IngestStage.ALONE.value)

    def _tell(self, **facts: object) -> None:
        try:
            self._note(**facts)
        except StoreError as error:
            _log.warning("cannot share ingest status with other processes", extra=fields(reason=str(error)))

    def _refuse(self, reason: StoreError) -> None:
        self._refused = detached(reason)
        self._trouble.begin(reason)

    async def _reserve(self, growing: PartialFile, gaps: Sequence[tuple[int, int]]) -> None:
        async with self._reserving:
            await growing.reservation.use(sum(stop - start for start, stop in gaps))

    def _scatter(self, growing: PartialFile, start: int, chunks: Sequence[bytes]) -> None:
        growing.scatter()
        for chunk in chunks:
            view = memoryview(chunk)
            while view:
                written = growing.write(view, start)
                start += written
                view = view[written:]

    def _append(self, growing: PartialFile, chunks: Sequence[bytes]) -> None:
        for chunk in chunks:
            if isinstance(chunk, StoredBytes):
                self._on_disk += len(chunk)
                continue
            view = memoryview(chunk)
            while view:
                written = growing.write(view, self._on_disk)
                self._on_disk += written
                view = view[written:]

    async def _pass(self, chunks: Sequence[bytes], reached: int, already: int, reason: StoreError) -> None:
        """Pass on all but the *already* written, from the offset *reached* on; raise *reason* where nobody reads."""
        if self._window is None and self._slowest() is not None:
            self._window = RingBuffer(reached, self._slowest)
        for chunk in chunks:
            view = memoryview(chunk)[already:]
            already = max(0, already - len(chunk))
            if self._window is None or not await self._window.write(view):
                self._is_given_up = True
                raise detached(reason)


def _missing(runs: Runs, start: int, chunks: Sequence[bytes]) -> list[tuple[int, int]]:
    """List what is to be written of *chunks*, from *start* on, and was not."""
    found: list[tuple[int, int]] = []
    for chunk in chunks:
        if not isinstance(chunk, StoredBytes):
            found += runs.gaps(start, start + len(chunk))
        start += len(chunk)
    return found


def _nobody() -> None:
    """Report no reader: content that is written at once is not followed."""
