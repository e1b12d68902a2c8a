"""Content on a disk, by digest (port BlobStore).

    ROOT/
      layout                    which layout this is
      blobs/sha256/ab/<hex>     verified, durable, never changed
      ingest/<hex>.<random>     on its way in; locked by whoever writes it, and gone on with if its writer died
      quarantine/               what lay under a valid name and was wrong

A file gets its name after its hash was right and fsync had returned: a crash may lose it, but no valid name stands over wrong bytes.
All disk calls run on threads of our own; a disk that hangs must not take DNS, which lives on the default ones, with it.
"""

import asyncio
import logging
import os
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from io import FileIO
from pathlib import Path
from weakref import WeakValueDictionary

from regproxy.oci.digest import Digest
from regproxy.oci.reference import Repository
from regproxy.policy.store.quota import FileSystem, Limits, on_disk
from regproxy.ports import Full, Gone, Incoming, IngestStage, Resumable, StoredBlob, StoreError, UpstreamError, encoded_error
from regproxy.storage import ingest_lock, shared_usage
from regproxy.storage.blob_files import BlobFiles, path_of
from regproxy.storage.directory import abandoned, layout
from regproxy.storage.hashing import hashed
from regproxy.storage.ingest import DiskIngest
from regproxy.storage.ingest_lock import IngestLocks, LockName
from regproxy.storage.opened import OpenBlob, OpenFiles
from regproxy.storage.partial_file import PartialFile, left_behind
from regproxy.storage.peer_ingest import Reading, WatchedIngest
from regproxy.storage.quota import Quota
from regproxy.storage.spool import Spool
from regproxy.storage.threads import DiskThreads
from regproxy.storage.trouble import Trouble
from regproxy.telemetry.log import fields

_TIMEOUT = 10.0  # seconds for one call; a disk that is merely slow takes two for an fsync
_LET_GO = 1.0  # seconds that removed content may take space because it was served not long ago
_OPEN_FILES = 512  # descriptors kept for the next hit; the default limit on open files is 1024

_log = logging.getLogger(__name__)


class DiskStore:
    """A directory full of content."""

    def __init__(self, root: Path, limits: Limits = Limits(), timeout: float = _TIMEOUT) -> None:  # noqa: B008 -- frozen
        """Store below *root* within *limits*; a disk call has *timeout* seconds. `prepare` makes it usable."""
        self._root = root
        self._run = DiskThreads(root, timeout)
        self._blob_files = BlobFiles(root)
        self._open = OpenFiles(_OPEN_FILES)
        self._live: WeakValueDictionary[Digest, OpenBlob] = WeakValueDictionary()  # those too that are only read, and no longer kept
        self._scrubbing = ThreadPoolExecutor(1, thread_name_prefix="scrub")  # one large file at a time, beside what serves
        self._trouble = Trouble()
        self._locks = IngestLocks()
        self.opened_at = 0.0
        self.interrupted_at: float | None = None
        self.quota = Quota(limits, partial(self._run, self._measure))

    @property
    def place(self) -> str:
        return str(self._root)

    async def prepare(self) -> None:
        """Make or recognise the store and clear away what a crash left; raise `StoreError` where it is not ours."""
        prepared = await self._run(layout.prepare, self._root)
        self.opened_at, self.interrupted_at = prepared.opened_at, prepared.interrupted_at
        try:
            await self._run(shared_usage.reset, self._root)
            await self._run(ingest_lock.reset, self._root)
        except StoreError as error:
            _log.warning("cannot share usage and locks with other processes", extra=fields(reason=str(error)))
        await self.join()
        await self.remove_abandoned(0)

    async def join(self) -> None:
        """Use a store that another process has prepared, or this one."""
        try:
            self.quota.usage = await self._run(shared_usage.joined, self._root)
            self._locks = IngestLocks(await self._run(ingest_lock.place, self._root))
        except StoreError as error:
            _log.warning("cannot share usage and locks with other processes", extra=fields(reason=str(error)))

    async def open(self, digest: Digest, size: int) -> "OpenBlob | None":
        blob = self._open.get(digest)
        if blob is not None and blob.is_intact(size):
            return blob.hold()
        self._open.pop(digest, None)
        file = await self._run(self._blob_files.opened, digest, size, undo=FileIO.close)
        if file is None:
            return None
        blob = self._live[digest] = OpenBlob(file, size, partial(self.quarantine, digest))
        held = blob.hold()
        self._open.pop(digest, None)  # whoever opened it at the same time
        self._open[digest] = blob
        return held

    async def read(self, digest: Digest, size: int) -> bytes | None:
        return await self._run(self._blob_files.read, digest, size)

    async def write(self, digest: Digest, body: bytes) -> bool:
        ingest = await self.ingest(digest, len(body))
        try:
            await ingest.write([body])
            await ingest.commit()
            return True
        finally:
            await ingest.discard()
            ingest.close()

    async def acquire(self, digest: Digest, repository: Repository) -> WatchedIngest | None:
        other = self._locks.take(LockName(digest, repository.registry), str(repository))
        return None if other is None else WatchedIngest(self._root, digest, other, self._run)

    async def release(self, digest: Digest, upstream: str, error: UpstreamError | None = None) -> None:
        name = LockName(digest, upstream)
        try:
            if error is not None:
                self._locks.note(name, end=IngestStage.FAILED.value, **encoded_error(error))
        except StoreError as trouble:
            _log.warning("cannot share the end of an ingest with other processes", extra=fields(digest=str(digest), reason=str(trouble)))
        finally:
            self._locks.release(name)

    async def ingesting(self) -> Collection[Digest]:
        return self._locks.all()

    def is_wanted(self, digest: Digest, upstream: str) -> bool:
        return self._locks.is_wanted(LockName(digest, upstream))

    async def landed(self, digest: Digest, size: int) -> Reading | None:
        file = await self._run(self._blob_files.opened, digest, size, undo=FileIO.close)
        return None if file is None else Reading(file, size)

    def wanted_parts(self, digest: Digest, upstream: str) -> Sequence[tuple[int, int]]:
        return self._locks.wanted_parts(LockName(digest, upstream))

    async def resumable(self, digest: Digest) -> Resumable:
        return await self._run(left_behind, self._root, digest)

    async def ingest(
        self,
        digest: Digest,
        size: int | None,
        resumed: Resumable = Resumable(),  # noqa: B008 -- frozen
        begun: Incoming | None = None,
        *,
        locked_for: str | None = None,
        refused: StoreError | None = None,
    ) -> DiskIngest:
        why = Full("the process that copies it has no space for it") if begun is not None else refused
        start = resumed.start
        growing = why or await self._growing(digest, size, resumed)
        if not resumed.is_empty and begun is None and isinstance(growing, StoreError):
            raise Gone(f"what was here of {digest} cannot be gone on with: {growing}") from growing
        note = _note_nothing if locked_for is None else partial(self._locks.note, LockName(digest, locked_for))
        file = None if begun is None else os.fdopen(os.dup(begun.extent(0, start).file.fileno()), "rb", buffering=0)
        ingest = DiskIngest(digest, self._run, self._trouble, growing, note, file)
        try:
            await ingest.read_again(start)
        except StoreError as error:
            await ingest.discard()
            ingest.close()
            raise Gone(f"what was here of {digest} cannot be gone on with: {error}") from error
        ingest.announce(size)
        return ingest

    async def spool(self, size: int) -> Spool:
        reservation = await self.quota.reserve(size)
        try:
            return await self._run(Spool, self._root / "ingest", reservation, self._run, undo=lambda spool: spool.file.close())
        except BaseException:
            reservation.release()
            raise

    async def let_go(self) -> None:
        """Notice, for ever, what other processes have removed."""
        while True:
            await asyncio.sleep(_LET_GO)
            self._open.let_go()

    async def remove(self, digest: Digest) -> int:
        """Remove content and return how many bytes that frees; its readers read on, and its space is free when they are done."""
        size = await self._run(self._blob_files.remove, digest)
        freed = partial(self.quota.put, -on_disk(size))
        reader = self._live.get(digest)
        self._open.pop(digest, None)
        if reader is not None:
            reader.when_closed(freed)
        else:
            freed()
        return on_disk(size)

    async def remove_abandoned(self, excess: int) -> int:
        self.quota.usage.inherit()
        before = self.quota.usage.abandoned
        trimmed = await self._run(abandoned.trim, self._root, excess)
        self.quota.trimmed(before, trimmed.freed, trimmed.left)
        return trimmed.freed

    async def list_shard(self, shard: str) -> list[StoredBlob]:
        return await self._run(self._blob_files.list_shard, shard)

    async def verify(self, digest: Digest) -> int | None:
        path = path_of(self._root, digest)
        try:
            found = await asyncio.get_running_loop().run_in_executor(self._scrubbing, hashed, path, digest.algorithm)
        except FileNotFoundError as error:
            raise Gone(f"{digest} is not in the store") from error
        except OSError as error:
            _log.error("cannot read content", extra=fields(digest=str(digest), reason=str(error)))
            found = None
        if found is not None and found.digest == digest:
            return found.size
        await self.quarantine(digest)
        return None

    def mended(self) -> None:
        self.interrupted_at = None

    def limit(self, limits: Limits) -> None:
        self.quota.limit(limits)

    @property
    def counted(self) -> int:
        return self.quota.usage.finished

    def count(self, size: int) -> None:
        self.quota.put(size)

    async def ceiling(self) -> int:
        return await self.quota.ceiling()

    @property
    def is_waited_for(self) -> bool:
        return self.quota.usage.wanted > 0

    async def shortage(self) -> int:
        return await self.quota.shortage()

    async def look(self) -> None:
        if self.interrupted_at is None:
            await self._run(layout.renew, self._root / "running")
        await self.remove_abandoned(0)
        await self.quota.look()

    async def quarantine(self, digest: Digest) -> None:
        self._open.pop(digest, None)
        await self._run(self._blob_files.put_aside, digest)

    @property
    def trouble(self) -> str | None:
        """Why nothing can be kept at the moment."""
        return self._trouble.reason or self._run.trouble

    async def check(self) -> str | None:
        await self._run(layout.check, self._root)
        return self.trouble

    def close(self) -> None:
        while self._open:
            self._open.popitem()
        if self.opened_at and self.interrupted_at is None:
            (self._root / "running").unlink(missing_ok=True)
        self._trouble.forget()
        self.quota.usage.close()
        self._run.close()
        self._scrubbing.shutdown(wait=False, cancel_futures=True)

    async def _growing(self, digest: Digest, size: int | None, resumed: Resumable) -> PartialFile | StoreError:
        """Reserve space and create a file or take one over, or return why that is not possible."""
        try:
            reservation = await self.quota.reserve(max(size or 0, resumed.total))
        except StoreError as error:
            return error
        try:
            growing = await self._run(PartialFile, self._root, digest, size, reservation, resumed, undo=PartialFile.abandon)
            if not resumed.is_empty:
                reservation.resume(resumed.total, growing.found)
            return growing
        except BaseException as error:
            reservation.release()
            if isinstance(error, StoreError):
                return error
            raise

    def _measure(self) -> FileSystem:
        status = os.statvfs(self._root)
        used = status.f_blocks - status.f_bfree  # as df counts: what is reserved for root is neither used nor there
        return FileSystem((used + status.f_bavail) * status.f_frsize, status.f_bavail * status.f_frsize)


def _note_nothing(**facts: object) -> None:
    """Share no progress: no other process watches this copy."""
