"""The file of content being ingested: under a temporary name until it is complete and verified.

<hex>.<random>            of content whose size nobody told
<hex>.<size>.<random>     of *size* bytes; larger than that while some were written ahead of their turn, by the records behind them
"""

import fcntl
import os
import re
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

from regproxy.oci.digest import Digest
from regproxy.policy.store.quota import on_disk
from regproxy.policy.store.runs import MAX_RUNS, RECORD, RECORDS, Runs, decode, encode, records_at
from regproxy.ports import Resumable
from regproxy.storage.blob_files import path_of
from regproxy.storage.quota import Reservation

_SIZED = re.compile(r"[0-9a-f]+\.(\d{1,18})\.\w+", re.ASCII)
_MAX_SCATTERED = MAX_RUNS - 100  # runs; those that are begun at once are a tenth of that
_AT_ONCE = 1024 * 1024  # bytes: for 2 MiB and more Linux looks for a huge page, which took eight times as long (6.18, ext4)


@dataclass(frozen=True, slots=True)
class Replaced:
    """What a commit has made needless: the size of the file of that name before, and the bytes on disk of abandoned files of it."""

    size: int
    removed: int


@dataclass(frozen=True, slots=True)
class Written:
    """What a file says that is written of its content, and the number of the record that says so; 0 where its size does."""

    number: int
    runs: Runs


class PartialFile:
    """A file under a temporary name, which of its bytes are written, and its reserved space; locked while we live."""

    def __init__(
        self,
        root: Path,
        digest: Digest,
        size: int | None,
        reservation: Reservation,
        resumed: Resumable = Resumable(),  # noqa: B008 -- frozen
    ) -> None:
        """Create the file of *size* bytes, or take over the one that has what is *resumed*; raise `OSError`."""
        self._path: Path | None
        if resumed.is_empty:
            (descriptor, path), self.found, self.runs, self._number = _created(root, digest, size), 0, Runs(), 0
        else:
            descriptor, path, self.found, self.runs, self._number = _taken_over(root, digest, size, resumed)
        self._path, self.name = path, path.name
        self.file: BinaryIO = os.fdopen(descriptor, "rb+", buffering=0)
        self.reservation = reservation
        self._root, self._digest = root, digest
        self._final = path_of(root, digest)
        self._size = size
        self._recording = threading.Lock()  # who writes ahead and who writes in order do so on threads of their own
        self.is_committed = False
        self.is_abandoned = False

    @property
    def taken(self) -> int:
        """How many bytes it takes on the disk."""
        return taken(os.fstat(self.file.fileno()), self.name)

    @property
    def can_scatter(self) -> bool:
        """Whether bytes can be written ahead of their turn."""
        return self._size is not None and len(self.runs) < _MAX_SCATTERED

    def scatter(self) -> None:
        """Record what is written behind the content from now on: before a byte is, for the size of the file tells nothing then."""
        with self._recording:
            if not self._number:
                self._record()

    def write(self, piece: memoryview, offset: int) -> int:
        """Write what comes first of it, and return how much that is."""
        written = os.pwrite(self.file.fileno(), piece[:_AT_ONCE], offset)
        with self._recording:
            self.runs.add(offset, offset + written)
            if self._number:
                self._record()
        return written

    def _record(self) -> None:
        assert self._size is not None  # noqa: S101 -- what can be scattered has one
        number = self._number + 1
        record = encode(self.runs, number, _boot())
        if os.pwrite(self.file.fileno(), record, records_at(self._size) + number % 2 * RECORD) != len(record):
            raise OSError(f"no room for what is written of {self._digest}")
        if number == 1:
            os.ftruncate(self.file.fileno(), records_at(self._size) + RECORDS)
        self._number = number  # not before: what is ahead of its turn and in no record, others would take for all that is before it

    def commit(self) -> Replaced:
        """Make durable, then give it its name."""
        if self._path is None:
            raise FileNotFoundError("it was discarded")
        with self._recording:  # what is written may be read, hashed and found right before its record is written
            os.ftruncate(self.file.fileno(), self.runs.reach(0))  # records, or more than there is of it
            self._number = 0
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


def left_behind(root: Path, digest: Digest) -> Resumable:
    """Return which bytes an abandoned file has that can be resumed; what a living process writes is not abandoned.

    The last byte is left out: asking for one is how upstream is asked whether it may be had at all.
    """
    found = [_resumable(runs) for path in _unfinished(root, digest) if (runs := _abandoned_runs(path)) is not None]
    return max(found, key=lambda each: each.total, default=Resumable())


def _abandoned_runs(path: Path) -> Runs | None:
    descriptor = _locked(path, os.O_RDONLY | os.O_NONBLOCK)
    if descriptor is None:
        return None
    try:
        found = written(descriptor, _size_of(path.name))
        return None if found is None else found.runs
    finally:
        os.close(descriptor)


def _resumable(runs: Runs) -> Resumable:
    reached = runs.reach(0)
    return Resumable(max(reached - 1, 0), tuple((start, stop) for start, stop in runs if start >= max(reached, 1)))


def written(descriptor: int, size: int | None) -> Written | None:
    """Read what is written of content of *size* bytes; None where the file does not tell. Raise `OSError`."""
    length = os.fstat(descriptor).st_size
    if size is None or length <= size:
        return Written(0, Runs([(0, length)]))
    found = decode(os.pread(descriptor, RECORDS, records_at(size)), size, _boot())
    return None if found is None else Written(*found)


def _size_of(name: str) -> int | None:
    match = _SIZED.fullmatch(name)
    return None if match is None else int(match[1])


@cache
def _boot() -> bytes:
    """Name this run of the machine: what was not synced before its last start may be missing, whatever a record says."""
    try:
        return UUID(Path("/proc/sys/kernel/random/boot_id").read_text().strip()).bytes
    except (OSError, ValueError):
        return bytes(16)


def _unfinished(root: Path, digest: Digest) -> Iterator[Path]:
    """List the partial files; other fills of the same content may rename or remove theirs at any moment."""
    return (root / "ingest").glob(f"{digest.hex}.*")


def _created(root: Path, digest: Digest, size: int | None) -> tuple[int, Path]:
    while True:
        prefix = f"{digest.hex}." if size is None else f"{digest.hex}.{size}."
        descriptor, path = tempfile.mkstemp(prefix=prefix, dir=root / "ingest")
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return descriptor, Path(path)
        os.close(descriptor)  # somebody took it for an orphan before it was locked


def _taken_over(root: Path, digest: Digest, size: int | None, resumed: Resumable) -> tuple[int, Path, int, Runs, int]:
    """Lock an abandoned file that has what is *resumed*; what it has beyond that is written again.

    It is not cut: a client may not have read yet what was sent out of it, and to cut a file puts zeros into the page that a socket holds.
    Return its bytes on disk before, what counts of it, and the number of its record, too; raise `OSError`.
    """
    for path in _unfinished(root, digest):
        descriptor = _locked(path, os.O_RDWR)
        if descriptor is None:
            continue
        try:
            has, found = written(descriptor, _size_of(path.name)), taken(os.fstat(descriptor), path.name)
            if has is not None and (_size_of(path.name) in {None, size} or (size is None and not has.number)) and _holds(has.runs, resumed):
                if size is not None and _size_of(path.name) is None:  # who finds it next has to know how much of it is content
                    path = path.rename(path.with_name(f"{digest.hex}.{size}{path.suffix}"))
                return descriptor, path, found, Runs([(0, resumed.start), *resumed.parts]), has.number
        except OSError:
            os.close(descriptor)
            raise
        os.close(descriptor)
    raise FileNotFoundError(f"what was here of {digest} is gone: its first {resumed.start} bytes and {len(resumed.parts)} other parts")


def _holds(runs: Runs, resumed: Resumable) -> bool:
    return runs.reach(0) >= resumed.start and set(resumed.parts) <= set(runs)


def taken(status: os.stat_result, name: str) -> int:
    """Return how many bytes a file under a temporary name takes on the disk: with holes it is larger than that."""
    size = _size_of(name)
    return on_disk(status.st_size) if size is None or status.st_size <= size else status.st_blocks * 512


def remove_if_orphan(path: Path) -> int:
    """Remove what no living process writes, and return the bytes on disk that frees: the kernel gives a dead one's lock back."""
    descriptor = _locked(path, os.O_RDONLY | os.O_NONBLOCK)
    if descriptor is None:
        return 0
    try:
        path.unlink(missing_ok=True)
        return taken(os.fstat(descriptor), path.name)
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
