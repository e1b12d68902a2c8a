"""Content on a disk, by digest (port BlobStore).

    ROOT/
      layout                    which layout this is
      blobs/sha256/ab/<hex>     verified, durable, never changed
      ingest/<hex>.<random>     on its way in; locked by whoever writes it
      quarantine/               what lay under a valid name and was wrong

A file gets its name after its hash was right and fsync had returned: a crash may lose it, but no valid name stands over wrong bytes.
All disk calls run on threads of our own; a disk that hangs must not take DNS, which lives on the default ones, with it.
"""

import asyncio
import errno
import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO, Protocol, TypeVar

from cachetools import LRUCache

from regproxy import metrics
from regproxy.oci.digest import Digest
from regproxy.ports import Full, StoreError

_LAYOUT = "regproxy store, layout 1\n"
_THREADS = 16  # a bound on calls in progress, so that a slow disk cannot start a thread for each of them
_OPEN_FILES = 512  # descriptors kept for the next hit; the default limit on open files is 1024
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

Result = TypeVar("Result")


class Runner(Protocol):
    """Runs a call on a thread of the disk; `OSError` comes out as `StoreError`."""

    async def __call__(self, call: Callable[..., Result], *args: object) -> Result: ...


class DiskStore:
    """A directory full of content."""

    def __init__(self, root: Path) -> None:
        """Take the directory; `prepare` makes it usable."""
        self._root = root
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="disk")
        self._open: LRUCache[Digest, OpenBlob] = _OpenFiles(_OPEN_FILES)

    async def prepare(self) -> None:
        """Make or recognise the store and clear away what a crash left; raise `StoreError` where it is not ours."""
        await self._run(self._prepare)

    async def open(self, digest: Digest, size: int) -> "OpenBlob | None":
        blob = self._open.get(digest)
        if blob is not None and blob.is_intact(size):
            return blob.hold()
        self._open.pop(digest, None)
        file = await self._run(self._open_file, digest, size)
        if file is None:
            return None
        blob = OpenBlob(file, size)
        held = blob.hold()
        self._open.pop(digest, None)  # whoever opened it at the same time
        self._open[digest] = blob
        return held

    async def read(self, digest: Digest, size: int) -> bytes | None:
        return await self._run(self._read, digest, size)

    async def write(self, digest: Digest, body: bytes) -> None:
        ingest = await self.ingest(digest)
        try:
            await ingest.write([body])
            await ingest.commit()
        finally:
            await ingest.discard()
            ingest.close()

    async def ingest(self, digest: Digest) -> "DiskIngest":
        return await self._run(lambda: DiskIngest(digest, self._root, self._run))

    async def check(self) -> None:
        await self._run(self._check)

    def close(self) -> None:
        while self._open:
            self._open.popitem()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _run(self, call: Callable[..., Result], *args: object) -> Result:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, call, *args)
        except OSError as error:
            kind = Full if error.errno in _NO_ROOM else StoreError
            raise kind(f"the store at {self._root} failed: {error}") from error

    def _prepare(self) -> None:
        self._root.mkdir(parents=True, exist_ok=True, mode=0o700)
        layout = self._root / "layout"
        if layout.exists():
            if (found := layout.read_text()) != _LAYOUT:
                raise StoreError(f"{self._root} holds {found.strip()[:60]!r}, this version reads {_LAYOUT.strip()!r}: give it another root")
        elif any(entry.name != "lost+found" for entry in self._root.iterdir()):
            raise StoreError(f"{self._root} is not empty and not a store of regproxy: give it a directory of its own")
        for name in ("blobs", "ingest", "quarantine"):
            (self._root / name).mkdir(exist_ok=True, mode=0o700)
        layout.write_text(_LAYOUT)
        for orphan in (self._root / "ingest").iterdir():
            _remove_if_orphan(orphan)

    def _check(self) -> None:
        if (self._root / "layout").read_text() != _LAYOUT:
            raise StoreError(f"{self._root} is no longer the store it was")
        with tempfile.TemporaryFile(dir=self._root / "ingest") as probe:
            probe.write(b"ready?")
            probe.flush()

    def _open_file(self, digest: Digest, size: int) -> BinaryIO | None:
        """Open without following links or waiting for pipes; what has another size is put aside."""
        path = _path(self._root, digest)
        try:
            file = open(path, "rb", buffering=0, opener=_open_plain)  # noqa: SIM115 -- the caller closes it
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
        self._quarantine(_path(self._root, digest))
        return None

    def _quarantine(self, path: Path) -> None:
        aside = Path(tempfile.mkdtemp(prefix=path.name[:12] + ".", dir=self._root / "quarantine"))
        path.rename(aside / path.name)
        metrics.CORRUPT.inc()


class OpenBlob:
    """Committed content with a descriptor that stays open for the next hit (port Content)."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        """Own *file*; whoever keeps this object holds it once."""
        self.file = file
        self.size = size
        self._holders = 1

    def is_intact(self, size: int) -> bool:
        """Say whether the file is still there and still *size* bytes long: one fstat, no thread."""
        status = os.fstat(self.file.fileno())
        return status.st_size == size and status.st_nlink > 0

    def hold(self) -> "OpenBlob":
        self._holders += 1
        return self

    async def available(self, start: int, stop: int) -> int:  # noqa: ARG002 -- all of it is there
        return stop

    def release(self) -> None:
        self._holders -= 1
        if not self._holders:
            self.file.close()


class _OpenFiles(LRUCache[Digest, OpenBlob]):
    """The descriptors kept open; one that falls out is closed by its last reader."""

    def __delitem__(self, digest: Digest) -> None:
        blob = self[digest]
        super().__delitem__(digest)
        blob.release()


class DiskIngest:
    """A file that grows under a name nobody asks for (port Ingest)."""

    def __init__(self, digest: Digest, root: Path, run: Runner) -> None:
        """Create the file; disk calls go through *run*."""
        descriptor, path = tempfile.mkstemp(prefix=f"{digest.hex[:16]}.", dir=root / "ingest")
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        self.file: BinaryIO = os.fdopen(descriptor, "rb+", buffering=0)
        self._path: Path | None = Path(path)
        self._final = _path(root, digest)
        self._verifier = digest.verifier()
        self._run = run
        self._offset = 0

    async def write(self, chunks: Sequence[bytes]) -> None:
        await self._run(self._write, chunks)

    def verify(self) -> None:
        self._verifier.check()

    async def commit(self) -> None:
        self.verify()
        await self._run(self._commit)

    async def discard(self) -> None:
        await self._run(self._discard)

    def close(self) -> None:
        self.file.close()

    def _write(self, chunks: Sequence[bytes]) -> None:
        for chunk in chunks:
            self._verifier.update(chunk)
            view = memoryview(chunk)
            while view:
                written = os.pwrite(self.file.fileno(), view, self._offset)
                self._offset += written
                view = view[written:]

    def _commit(self) -> None:
        if self._path is None:
            return
        os.fsync(self.file.fileno())
        self._final.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._path.rename(self._final)
        self._path = None
        _sync_directory(self._final.parent)

    def _discard(self) -> None:
        if self._path is not None:
            self._path.unlink(missing_ok=True)
            self._path = None


def _path(root: Path, digest: Digest) -> Path:
    return root / "blobs" / digest.algorithm / digest.hex[:2] / digest.hex


def _open_plain(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove_if_orphan(path: Path) -> None:
    """Remove what no living process writes: the kernel gives a dead one's lock back."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink(missing_ok=True)
    except BlockingIOError:
        pass
    finally:
        os.close(descriptor)
