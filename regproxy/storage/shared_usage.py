"""How much room the processes of this machine use in a store: each writes a row of its own, and reads all.

    room             four numbers for each process
    rows/<n>         locked by the process whose row that is

A process that dies leaves what it has added for good; what it was writing or had been promised is given back by whoever has its row next.
"""

import contextlib
import errno
import fcntl
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from regproxy.shm import shared

_ROWS = 128
_HELD, _WRITING, _PROMISED, _WANTED = range(4)
_NUMBERS = 4
_SIZE = _ROWS * _NUMBERS * 8
_TURNS = 200  # tries, of a few microseconds each: whoever is stopped in its turn must not stop us, and going on is worth one blob too many


class SharedUsage:
    """All rows, of which one is ours."""

    def __init__(self, numbers: mmap.mmap, row: int = 0, file: int | None = None, lock: int | None = None) -> None:
        """Own the *numbers* of a *file*, and the row whose file *lock* is; `alone` and `joined` make it."""
        self._map = numbers
        self._view = memoryview(numbers).cast("q")
        self._row = row * _NUMBERS
        self._file = file
        self._lock = lock
        for number in (_WRITING, _PROMISED, _WANTED):
            self._view[self._row + number] = 0

    @property
    def held(self) -> int:
        """The bytes that lie in the store, finished or not."""
        return self._sum(_HELD) + self._sum(_WRITING)

    @property
    def finished(self) -> int:
        """The bytes of the store that no ingest is writing."""
        return self._sum(_HELD)

    @property
    def promised(self) -> int:
        return self._sum(_PROMISED)

    @property
    def wanted(self) -> int:
        """The bytes that some wait for."""
        return self._sum(_WANTED)

    def hold(self, size: int) -> None:
        self._view[self._row + _HELD] += size

    def write(self, size: int) -> None:
        self._view[self._row + _WRITING] += size

    def promise(self, size: int) -> None:
        self._view[self._row + _PROMISED] += size

    def want(self, size: int) -> None:
        self._view[self._row + _WANTED] = size

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from promising what we are about to promise."""
        has_it = self._file is not None and any(_locked(self._file) for _ in range(_TURNS))
        try:
            yield
        finally:
            if has_it and self._file is not None:
                fcntl.flock(self._file, fcntl.LOCK_UN)

    def close(self) -> None:
        """Release the row; who is not done yet counts for himself."""
        files, self._file, self._lock = (self._file, self._lock), None, None
        for descriptor in files:
            if descriptor is not None:
                os.close(descriptor)

    def _sum(self, number: int) -> int:
        return sum(self._view[number::_NUMBERS].tolist())


def alone() -> SharedUsage:
    """Count for this process only."""
    return SharedUsage(mmap.mmap(-1, _SIZE))


def reset(root: Path) -> None:
    """Begin to count what is in the store at *root*, for the first process of all; raise `OSError`."""
    place = shared(root)
    (place / "rows").mkdir(exist_ok=True, mode=0o700)
    (place / "room").unlink(missing_ok=True)
    file = os.open(place / "room", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.write(file, bytes(_SIZE))  # all of it: memory that is found to be missing by touching a mapped page kills
    finally:
        os.close(file)


def joined(root: Path) -> SharedUsage:
    """Count with the others; raise `OSError`."""
    place = shared(root)
    file = os.open(place / "room", os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        row, lock = _free_row(place / "rows")
        return SharedUsage(mmap.mmap(file, _SIZE), row, file, lock)
    except BaseException:
        os.close(file)
        raise


def _free_row(rows: Path) -> tuple[int, int]:
    for row in range(_ROWS):
        lock = os.open(rows / str(row), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        if _locked(lock):
            return row, lock
        os.close(lock)
    raise OSError(errno.EUSERS, "too many processes", str(rows))


def _locked(descriptor: int) -> bool:
    with contextlib.suppress(BlockingIOError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False
