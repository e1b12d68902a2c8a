"""Pieces on this machine's disk, apart from the store: none of them is verified before the whole blob is, and no client is sent one.

All workers of the machine use the same directory. Who writes a piece holds a lock on its file, which the kernel frees when that process
dies; others read along as the file grows.
"""

import fcntl
import os
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum
from hashlib import blake2b, sha256
from pathlib import Path
from threading import Lock
from typing import BinaryIO, ClassVar

from regproxy.peers.names import Blob, PieceName
from regproxy.policy.fleet.signed_hash import LENGTH, SignedHash

_BOUNDS = struct.Struct(">QQ")  # bytes of the blob, and of the piece
_HEAD = _BOUNDS.size + LENGTH  # bytes; behind the bounds comes the signed hash of the piece, zeros as long as there is none; then the piece
_MAX_TRIES = 8  # to open a file that others rename and remove
_PARTIAL = ".part"
_MIN_AGE_OF_PARTIAL = 60.0  # seconds; a piece that nobody writes for so long is nobody's


class Hold(Enum):
    """What a process has of a piece."""

    WHOLE = "it is here"
    OURS = "this process writes it"
    THEIRS = "another process writes it"


@dataclass(slots=True)
class PieceFile:
    """One piece on the disk; its calls are made on threads of the disk."""

    file: BinaryIO
    path: Path
    hold: Hold
    size: int | None = None  # of the blob; None before that is known
    length: int = 0  # of the piece, once *size* is known
    signed: SignedHash | None = None  # what it was known to be, when its *size* was read
    modified: int = 0  # when, in nanoseconds, as it was looked at last
    _writing: Lock = field(default_factory=Lock, repr=False)
    _is_closing: bool = False

    offset: ClassVar = _HEAD  # where in the file the piece begins

    def begin(self, size: int, length: int) -> None:
        self.size, self.length = size, length
        os.pwrite(self.file.fileno(), _BOUNDS.pack(size, length) + bytes(LENGTH), 0)

    def write(self, at: int, chunk: bytes) -> None:
        """Write behind the first *at* bytes."""
        with self._unclosed() as is_open:
            if is_open:
                os.pwrite(self.file.fileno(), chunk, _HEAD + at)

    def touch(self) -> None:
        """Show other processes that this one is at work on it."""
        with self._unclosed() as is_open:
            if is_open:
                os.utime(self.file.fileno())

    def written(self) -> int:
        """Return how many bytes of it are here, and learn how many there will be, and when somebody was at work on it."""
        status = os.fstat(self.file.fileno())
        self.modified = status.st_mtime_ns
        if self.size is None:
            head = os.pread(self.file.fileno(), _HEAD, 0)
            if len(head) < _HEAD:
                return 0
            self.size, self.length = _BOUNDS.unpack_from(head)
            self.signed = SignedHash.decode(head[_BOUNDS.size :])
        return max(status.st_size - _HEAD, 0)

    def hash(self) -> bytes:
        """Return the SHA-256 of all of it."""
        return hash_of(self.file.fileno(), _HEAD, _HEAD + self.length)

    def sign(self, signed: SignedHash) -> None:
        """Write down what it is known to be, for whoever gives it to others."""
        os.pwrite(self.file.fileno(), signed.encode(), _BOUNDS.size)

    def keep(self) -> None:
        """Give it its name: it is whole."""
        self.path.rename(self.path.with_suffix(""))

    def take_over(self) -> bool:
        """Go on in the place of a process that died, and report whether it did; raise `FileNotFoundError` where it removed the file."""
        if not _is_locked_by_us(self.file):
            return False
        if self.size is not None and self.written() == self.length:
            return False  # it is whole, and has its name
        if not os.path.samestat(self.path.stat(), os.fstat(self.file.fileno())):
            raise FileNotFoundError(self.path)
        self.hold = Hold.OURS
        return True

    def followed(self) -> tuple[int, bool]:
        """Return how many bytes of it another process has written, and whether we go on in its place; raise as `take_over`."""
        return self.written(), self.take_over()

    def unlock(self) -> None:
        """Let others see that nobody writes it any more."""
        fcntl.flock(self.file.fileno(), fcntl.LOCK_UN)

    def discard(self) -> bool:
        """Remove what is wrong, whole or not, and report whether that is done: not as long as another process is at work on it."""
        if self.hold is Hold.THEIRS and not _is_locked_by_us(self.file):
            return False
        with suppress(FileNotFoundError):
            if self.hold is not Hold.THEIRS or os.path.samestat(self.path.stat(), os.fstat(self.file.fileno())):
                self.path.unlink()
        return True

    def drop(self) -> None:
        """Remove what is not whole, if it is ours."""
        if self.hold is Hold.OURS:
            self.path.unlink(missing_ok=True)

    @contextmanager
    def _unclosed(self) -> Iterator[bool]:
        """Keep it from being closed meanwhile, unless it is."""
        with self._writing:
            yield not self.file.closed
            if self._is_closing:
                self.file.close()

    def close(self) -> None:
        """Close the file, behind a write that nobody waits for any more: its descriptor must not become another file's under it."""
        self._is_closing = True
        if self._writing.acquire(blocking=False):
            self.file.close()
            self._writing.release()


class PieceCache:
    """A directory of pieces."""

    def __init__(self, root: Path, max_size: int, max_age: float) -> None:
        """Keep at most *max_size* bytes of pieces below *root*, each for *max_age* seconds."""
        self.max_size = max_size
        self.size = 0  # bytes, when they were counted last
        self._root = root
        self._max_age = max_age

    def prepare(self) -> None:
        self._root.mkdir(mode=0o700, exist_ok=True)

    def open(self, name: PieceName) -> PieceFile:
        """Open a piece, or the file that it is written to; raise `OSError`."""
        whole = self._root / f"{_prefix(name.blob)}-{name.cut.number}"
        partial = whole.with_name(whole.name + _PARTIAL)
        for _ in range(_MAX_TRIES):
            with suppress(FileNotFoundError):
                if time.time() - whole.stat().st_mtime < self._max_age:
                    found = PieceFile(whole.open("rb", buffering=0), whole, Hold.WHOLE)
                    if found.written() == found.length and found.size is not None:
                        return found
                    found.close()
                whole.unlink()
            file = os.fdopen(os.open(partial, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600), "r+b", buffering=0)
            if not _is_locked_by_us(file):
                return PieceFile(file, partial, Hold.THEIRS)
            with suppress(FileNotFoundError):
                if os.path.samestat(partial.stat(), os.fstat(file.fileno())):
                    file.truncate(0)
                    return PieceFile(file, partial, Hold.OURS)
            file.close()  # it was renamed or removed meanwhile
        raise OSError(f"{partial} is renamed again and again")

    def forget(self, blob: Blob) -> None:
        """Remove all pieces of *blob*."""
        for path in self._root.glob(f"{_prefix(blob)}-*"):
            if path.suffix != _PARTIAL:
                path.unlink(missing_ok=True)

    def sweep(self) -> int:
        """Remove what is too old, and the oldest of what is too much; return how many bytes are left."""
        found, now = [], time.time()
        for path in self._root.iterdir():
            with suppress(FileNotFoundError):
                status = path.stat()
                if path.suffix == _PARTIAL:
                    if now - status.st_mtime > _MIN_AGE_OF_PARTIAL:
                        _remove_unlocked(path)
                else:
                    found.append((status.st_mtime, status.st_size, path))
        left = sum(size for _, size, _ in found)
        for modified, size, path in sorted(found, key=lambda each: each[0]):
            if left <= self.max_size and now - modified < self._max_age:
                break
            path.unlink(missing_ok=True)
            left -= size
        self.size = left
        return left


def hash_of(descriptor: int, start: int, stop: int) -> bytes:
    """Hash bytes *start* to *stop* of a file, or those of them that there are."""
    found = sha256()
    while start < stop and (chunk := os.pread(descriptor, min(stop - start, 1024 * 1024), start)):
        found.update(chunk)
        start += len(chunk)
    return found.digest()


def _prefix(blob: Blob) -> str:
    return blake2b(f"{blob.repository}@{blob.digest}".encode(), digest_size=20).hexdigest()


def _is_locked_by_us(file: BinaryIO) -> bool:
    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _remove_unlocked(path: Path) -> None:
    with path.open("r+b", buffering=0) as file:
        if _is_locked_by_us(file):
            path.unlink(missing_ok=True)
