"""Content on a disk, by digest (port BlobStore).

    ROOT/
      layout                    which layout this is
      blobs/sha256/ab/<hex>     verified, durable, never changed
      ingest/<hex>.<random>     on its way in; locked by whoever writes it, and gone on with if its writer died
      leases/<digest>           who copies it in, and what becomes of that
      quarantine/               what lay under a valid name and was wrong

A file gets its name after its hash was right and fsync had returned: a crash may lose it, but no valid name stands over wrong bytes.
All disk calls run on threads of our own; a disk that hangs must not take DNS, which lives on the default ones, with it.
"""

import asyncio
import contextlib
import errno
import logging
import os
import shutil
import stat
import time
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import BinaryIO, TypeVar
from weakref import WeakValueDictionary

from regproxy import metrics
from regproxy.log import fields
from regproxy.oci.digest import Digest, InvalidDigest
from regproxy.oci.reference import Repository
from regproxy.policy.room import FileSystem, Limits, on_disk
from regproxy.ports import Full, Gone, Incoming, Lying, Stage, StoreError, UpstreamError
from regproxy.storage import tally
from regproxy.storage.elsewhere import CopyElsewhere, Reading, open_plain, told
from regproxy.storage.hashing import hashed
from regproxy.storage.ingest import DiskIngest, Growing, left_behind, path_of, remove_if_orphan
from regproxy.storage.lease import Lease, taken, watched
from regproxy.storage.opened import PUT_ASIDE, OpenBlob, OpenFiles
from regproxy.storage.ownership import check_own, make_own
from regproxy.storage.room import Room
from regproxy.storage.spool import Spool
from regproxy.storage.trouble import Trouble

_LAYOUT = "regproxy store, layout 1\n"
_NOT_OURS = frozenset({"lost+found", "lock"})  # what may lie in a directory that is to become a store
_THREADS = 16  # a bound on calls in progress, so that a slow disk cannot start a thread for each of them
_QUARANTINED = 8  # files put aside and kept; they count as nobody's room, so they are few
_PATIENCE = 10.0  # seconds for one call; a disk that is merely slow takes two for an fsync
_LEFT_FOR = 86_400.0  # seconds that an unfinished file waits for somebody to go on with it
_OPEN_FILES = 512  # descriptors kept for the next hit; the default limit on open files is 1024
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

Result = TypeVar("Result")

_log = logging.getLogger(__name__)


class DiskStore:
    """A directory full of content."""

    def __init__(self, root: Path, limits: Limits = Limits(), patience: float = _PATIENCE) -> None:  # noqa: B008 -- frozen
        """Take the directory, how much it may hold, and how many seconds a disk call may take; `prepare` makes it usable."""
        self._root = root
        self._patience = patience
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="disk")
        self._open = OpenFiles(_OPEN_FILES)
        self._live: WeakValueDictionary[Digest, OpenBlob] = WeakValueDictionary()  # those too that are only read, and no longer kept
        self._scrubbing = ThreadPoolExecutor(1, thread_name_prefix="scrub")  # one large file at a time, beside what serves
        self._trouble = Trouble()
        self._leases: dict[Digest, Lease] = {}
        self.opened_at = 0.0
        self.interrupted_at: float | None = None
        self.room = Room(limits, partial(self._run, self._measure))

    async def prepare(self) -> None:
        """Make or recognise the store and clear away what a crash left; raise `StoreError` where it is not ours."""
        await self._run(self._prepare)
        try:
            await self._run(tally.reset, self._root)
        except StoreError as error:
            _log.warning("processes cannot count their room together", extra=fields(reason=str(error)))
        await self.join()

    async def join(self) -> None:
        """Use a store that another process has prepared, or this one."""
        try:
            self.room.tally = await self._run(tally.joined, self._root)
        except StoreError as error:
            _log.warning("this process counts its room for itself", extra=fields(reason=str(error)))

    async def open(self, digest: Digest, size: int) -> "OpenBlob | None":
        blob = self._open.get(digest)
        if blob is not None and blob.is_intact(size):
            return blob.hold()
        self._open.pop(digest, None)
        file = await self._run(self._open_file, digest, size)
        if file is None:
            return None
        blob = self._live[digest] = OpenBlob(file, size, partial(self.quarantine, digest))
        held = blob.hold()
        self._open.pop(digest, None)  # whoever opened it at the same time
        self._open[digest] = blob
        return held

    async def read(self, digest: Digest, size: int) -> bytes | None:
        return await self._run(self._read, digest, size)

    async def write(self, digest: Digest, body: bytes) -> None:
        ingest = await self.ingest(digest, len(body))
        try:
            await ingest.write([body])
            await ingest.commit()
        finally:
            await ingest.discard()
            ingest.close()

    async def lease(self, digest: Digest, repository: Repository) -> CopyElsewhere | None:
        while (lease := await self._run(taken, self._root, digest, str(repository))) is None:
            if (other := await self._run(watched, self._root, digest)) is not None:
                return CopyElsewhere(self._root, digest, other, self._run)
        self._leases[digest] = lease
        return None

    async def release(self, digest: Digest, error: UpstreamError | None = None) -> None:
        lease = self._leases.pop(digest, None)
        if lease is None:
            return
        try:
            if error is not None:
                await self._run(partial(lease.note, end=Stage.FAILED.value, **told(error)))
        except StoreError as trouble:
            _log.warning("others cannot be told how a copy ended", extra=fields(digest=str(digest), reason=str(trouble)))
        finally:
            await self._run(lease.release)

    async def leased(self) -> Collection[Digest]:
        return [Digest.parse(name) for name in await self._run(os.listdir, self._root / "leases")]

    async def landed(self, digest: Digest, size: int) -> Reading | None:
        file = await self._run(self._open_file, digest, size)
        return None if file is None else Reading(file)

    async def resumable(self, digest: Digest) -> int:
        return await self._run(left_behind, self._root, digest)

    async def ingest(self, digest: Digest, size: int | None, start: int = 0, begun: Incoming | None = None) -> DiskIngest:
        growing = await self._growing(digest, size, start) if begun is None else Full("another process has no room for it")
        if start and begun is None and isinstance(growing, StoreError):
            raise Gone(f"what was here of {digest} cannot be gone on with: {growing}") from growing
        lease = self._leases.get(digest)
        note = lease.note if lease else _tell_nobody
        file = None if begun is None else os.fdopen(os.dup(begun.extent(0, start).file.fileno()), "rb", buffering=0)
        ingest = DiskIngest(digest, self._run, self._trouble, growing, note, file)
        try:
            await ingest.read_again(start)
        except StoreError as error:
            await ingest.discard()
            ingest.close()
            raise Gone(f"what was here of {digest} cannot be gone on with: {error}") from error
        await ingest.announce(size)
        return ingest

    async def spool(self, size: int) -> Spool:
        reservation = await self.room.reserve(size)
        try:
            return await self._run(Spool, self._root / "ingest", reservation, self._run)
        except BaseException:
            reservation.release()
            raise

    async def remove(self, digest: Digest) -> int:
        """Remove content, and tell how many bytes that frees; those who read it read on, and its room is free when they are done."""
        size = await self._run(self._remove, digest)
        freed = partial(self.room.put, -on_disk(size))
        reader = self._live.get(digest)
        self._open.pop(digest, None)
        if reader is not None:
            reader.when_closed(freed)
        else:
            freed()
        return on_disk(size)

    async def lying(self, shelf: str) -> list[Lying]:
        return await self._run(self._lying, shelf)

    async def verify(self, digest: Digest) -> int | None:
        path = path_of(self._root, digest)
        try:
            found = await asyncio.get_running_loop().run_in_executor(self._scrubbing, hashed, path, digest.algorithm)
        except FileNotFoundError:
            return None
        except OSError as error:
            _log.error("content cannot be read", extra=fields(digest=str(digest), reason=str(error)))
            found = None
        if found is not None and found.digest == digest:
            return found.size
        await self.quarantine(digest)
        return None

    def mended(self) -> None:
        self.interrupted_at = None

    def limit(self, limits: Limits) -> None:
        self.room.limit(limits)

    def count(self, size: int) -> None:
        self.room.put(size)

    async def shortage(self) -> int:
        return await self.room.shortage()

    async def look(self) -> None:
        if self.interrupted_at is None:
            await self._run((self._root / "running").touch)
        await self.room.look()

    async def quarantine(self, digest: Digest) -> None:
        """Put content aside that turned out wrong."""
        self._open.pop(digest, None)
        await self._run(self._quarantine, path_of(self._root, digest))

    async def check(self) -> str | None:
        await self._run(self._check)
        return self._trouble.reason

    def close(self) -> None:
        while self._open:
            self._open.popitem()
        if self.opened_at and self.interrupted_at is None:
            (self._root / "running").unlink(missing_ok=True)
        self.room.tally.close()
        for threads in (self._threads, self._scrubbing):
            threads.shutdown(wait=False, cancel_futures=True)

    async def _growing(self, digest: Digest, size: int | None, start: int) -> Growing | StoreError:
        """Take room and make a file, or take one over, or tell why that is not possible."""
        try:
            reservation = await self.room.reserve(size or 0)
        except StoreError as error:
            return error
        try:
            return await self._run(Growing, self._root, digest, reservation, start)
        except BaseException as error:
            reservation.release()
            if isinstance(error, StoreError):
                return error
            raise

    async def _run(self, call: Callable[..., Result], *args: object) -> Result:
        try:
            async with asyncio.timeout(self._patience):
                return await asyncio.get_running_loop().run_in_executor(self._threads, call, *args)
        except TimeoutError as error:
            raise StoreError(f"the store at {self._root} did not answer within {self._patience:g} s") from error
        except OSError as error:
            kind = Full if error.errno in _NO_ROOM else StoreError
            raise kind(f"the store at {self._root} failed: {error}") from error

    def _measure(self) -> FileSystem:
        status = os.statvfs(self._root)
        used = status.f_blocks - status.f_bfree  # as df counts: what is reserved for root is neither used nor there
        return FileSystem((used + status.f_bavail) * status.f_frsize, status.f_bavail * status.f_frsize)

    def _remove(self, digest: Digest) -> int:
        path = path_of(self._root, digest)
        try:
            size = path.stat().st_size
            path.unlink()
        except FileNotFoundError:
            return 0
        return size

    def _prepare(self) -> None:
        make_own(self._root)
        layout = self._root / "layout"
        if layout.exists():
            if (found := layout.read_text()) != _LAYOUT:
                raise StoreError(f"{self._root} holds {found.strip()[:60]!r}, this version reads {_LAYOUT.strip()!r}: give it another root")
        elif any(entry.name not in _NOT_OURS for entry in self._root.iterdir()):
            raise StoreError(f"{self._root} is not empty and not a store of regproxy: give it a directory of its own")
        for name in ("blobs", "ingest", "leases", "quarantine", "blobs/sha256", "blobs/sha512"):
            make_own(self._root / name)
        for shard in (self._root / "blobs").glob("*/*"):
            check_own(shard)
        if not layout.exists():
            layout.write_text(_LAYOUT)
            layout.chmod(0o600)
            _log.info("a new store is begun; if there was one, its volume is not mounted", extra=fields(root=str(self._root)))
        layout.touch()
        self.opened_at = layout.stat().st_mtime
        running = self._root / "running"
        self.interrupted_at = running.stat().st_mtime if running.exists() else None
        if self.interrupted_at is None:
            running.touch(mode=0o600)
        for lease in (self._root / "leases").iterdir():
            lease.unlink()
        for orphan in (self._root / "ingest").iterdir():
            _clear(orphan)

    def _lying(self, shelf: str) -> list[Lying]:
        found: list[Lying] = []
        for algorithm in ("sha256", "sha512"):
            with contextlib.suppress(FileNotFoundError), os.scandir(self._root / "blobs" / algorithm / shelf) as entries:
                found += [lying for entry in entries if (lying := _lying(algorithm, entry)) is not None]
        return found

    def _check(self) -> None:
        if (self._root / "layout").read_text() != _LAYOUT:
            raise StoreError(f"{self._root} is no longer the store it was")

    def _open_file(self, digest: Digest, size: int) -> BinaryIO | None:
        """Open without following links or waiting for pipes; what has another size is put aside."""
        path = path_of(self._root, digest)
        try:
            file = open_plain(path)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno not in {errno.ELOOP, errno.EISDIR, errno.ENXIO}:
                raise
            self._quarantine(path)
            return None
        status = os.fstat(file.fileno())
        if stat.S_ISREG(status.st_mode) and status.st_size == size:
            return file
        file.close()
        self._quarantine(path)
        return None

    def _read(self, digest: Digest, size: int) -> bytes | None:
        file = self._open_file(digest, size)
        if file is None:
            return None
        with file:
            body = file.read(size)
        if Digest.of(body, digest.algorithm) == digest:
            return body
        self._quarantine(path_of(self._root, digest))
        return None

    def _quarantine(self, path: Path) -> None:
        """Put a file, or whatever it is, out of the way; the last few stay for whoever wants to know what happened to them."""
        aside = self._root / "quarantine"
        with contextlib.suppress(FileNotFoundError):
            moved = path.rename(aside / f"{time.time_ns()}.{path.name[:12]}")
            metrics.CORRUPT.inc()
            if stat.S_ISREG(moved.lstat().st_mode):
                moved.chmod(PUT_ASIDE)
        for old in sorted(aside.iterdir())[:-_QUARANTINED]:
            _remove(old)


def _lying(algorithm: str, entry: os.DirEntry[str]) -> Lying | None:
    """Describe a file by its name; what has none of ours is left alone."""
    try:
        digest, status = Digest.parse(f"{algorithm}:{entry.name}"), entry.stat(follow_symlinks=False)
    except (InvalidDigest, FileNotFoundError):
        _log.warning("not ours, left alone", extra=fields(path=entry.path[-200:]))
        return None
    return Lying(digest, status.st_size, status.st_mtime)


def _tell_nobody(**_facts: object) -> None:
    """Say nothing: what no lease was taken for, nobody watches."""


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _clear(path: Path) -> None:
    """Remove what a crash left unfinished and nobody is likely to go on with."""
    if not path.is_file() or path.is_symlink():
        _remove(path)
        return
    status = path.stat()
    if not status.st_size or time.time() - status.st_mtime >= _LEFT_FOR:
        remove_if_orphan(path)
