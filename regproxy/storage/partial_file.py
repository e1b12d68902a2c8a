"""The file of content being ingested: under a temporary name until it is complete and verified."""

import fcntl
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from regproxy.oci.digest import Digest
from regproxy.policy.store.quota import on_disk
from regproxy.storage.blob_files import path_of
from regproxy.storage.quota import Reservation

_AT_ONCE = 1024 * 1024  # bytes: for 2 MiB and more Linux looks for a huge page, which took eight times as long (6.18, ext4)


@dataclass(frozen=True, slots=True)
class Replaced:
    """What a commit has made needless: the size of the file of that name before, and the bytes on disk of abandoned files of it."""

    size: int
    removed: int


class PartialFile:
    """A file under a temporary name, and its reserved space; locked while we live."""

    def __init__(self, root: Path, digest: Digest, reservation: Reservation, start: int = 0) -> None:
        """Create the file, or take over one that has *start* bytes; raise `OSError`."""
        self._path: Path | None
        descriptor, path, self.found = _taken_over(root, digest, start) if start else (*_created(root, digest), 0)
        self._path, self.name = path, path.name
        self.file: BinaryIO = os.fdopen(descriptor, "rb+", buffering=0)
        self.reservation = reservation
        self._root, self._digest = root, digest
        self._final = path_of(root, digest)
        self.is_committed = False
        self.is_abandoned = False

    def write(self, piece: memoryview, offset: int) -> int:
        """Write what comes first of it, and return how much that is."""
        return os.pwrite(self.file.fileno(), piece[:_AT_ONCE], offset)

    def commit(self) -> Replaced:
        """Make durable, then give it its name."""
        if self._path is None:
            raise FileNotFoundError("it was discarded")
        os.fsync(self.file.fileno())
        self._final.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        replaced = self._final.stat().st_size if self._final.is_file() else 0
        self._path.rename(self._final)
        self._path = None
        self.is_committed = True
        sync_directory(self._final.parent)
        return Replaced(replaced, sum(remove_if_orphan(needless) for needless in _unfinished(self._root, self._digest)))

    def leave(self) -> None:
        """Make `discard` leave the file where it is."""
        self._path = None
        self.is_abandoned = True

    def abandon(self) -> None:
        """Undo that it was made."""
        self.discard()
        self.file.close()

    def discard(self) -> None:
        if self._path is not None:
            self._path.unlink(missing_ok=True)
            self._path = None


def left_behind(root: Path, digest: Digest) -> int:
    """Return how many bytes an abandoned file has that can be resumed; what a living process writes is not abandoned.

    The last byte is left out: asking for one is how upstream is asked whether it may be had at all.
    """
    statuses = map(abandoned, _unfinished(root, digest))
    return max(max((status.st_size for status in statuses if status is not None), default=0) - 1, 0)


def _unfinished(root: Path, digest: Digest) -> Iterator[Path]:
    """List the partial files; other fills of the same content may rename or remove theirs at any moment."""
    return (root / "ingest").glob(f"{digest.hex}.*")


def _created(root: Path, digest: Digest) -> tuple[int, Path]:
    while True:
        descriptor, path = tempfile.mkstemp(prefix=f"{digest.hex}.", dir=root / "ingest")
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return descriptor, Path(path)
        os.close(descriptor)  # somebody took it for an orphan before it was locked


def _taken_over(root: Path, digest: Digest, start: int) -> tuple[int, Path, int]:
    """Lock an abandoned file of at least *start* bytes, and truncate it to them; return its size before, too. Raise `OSError`."""
    for path in _unfinished(root, digest):
        descriptor = _locked(path, os.O_RDWR)
        if descriptor is None:
            continue
        try:
            if (found := os.fstat(descriptor).st_size) >= start:
                os.truncate(descriptor, start)
                return descriptor, path, found
        except OSError:
            os.close(descriptor)
            raise
        os.close(descriptor)
    raise FileNotFoundError(f"the first {start} bytes of {digest} are gone")


def remove_if_orphan(path: Path) -> int:
    """Remove what no living process writes, and return the bytes on disk that frees: the kernel gives a dead one's lock back."""
    descriptor = _locked(path, os.O_RDONLY | os.O_NONBLOCK)
    if descriptor is None:
        return 0
    try:
        path.unlink(missing_ok=True)
        return on_disk(os.fstat(descriptor).st_size)
    finally:
        os.close(descriptor)


def abandoned(path: Path) -> os.stat_result | None:
    """Return the status of a partial file that no living process writes; None where one does, or it is gone."""
    descriptor = _locked(path, os.O_RDONLY | os.O_NONBLOCK)
    if descriptor is None:
        return None
    try:
        return os.fstat(descriptor)
    finally:
        os.close(descriptor)


def _locked(path: Path, flags: int) -> int | None:
    """Open and lock a file; None where it is locked, or was renamed: then it may be a blob by now."""
    try:
        descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(descriptor), path.lstat()):
            return descriptor
    except (BlockingIOError, FileNotFoundError):
        pass
    except OSError:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None


def sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
