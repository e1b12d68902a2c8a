"""How much room the processes of this machine use in a store: each writes a row of its own, and reads all.

    room             five numbers for each process
    rows/<n>         locked by the process whose row that is

A process that dies leaves what it has added for good. Whoever has its row next, or looks for the dead before that, gives back what it had
been promised, and counts what it was writing as abandoned until somebody looks at the files.
"""

import contextlib
import mmap
import os
from contextlib import AbstractContextManager
from pathlib import Path

from regproxy.shm import free_row, left_row, locked, shared

_ROWS = 128
_HELD, _WRITING, _PROMISED, _WANTED, _ABANDONED = range(5)
_NUMBERS = 5
_OF_THE_LIVING = (_WRITING, _PROMISED, _WANTED)
_SIZE = _ROWS * _NUMBERS * 8


class SharedUsage:
    """All rows, of which one is ours."""

    def __init__(
        self, numbers: mmap.mmap, row: int = 0, file: int | None = None, lock: int | None = None, rows: Path | None = None
    ) -> None:
        """Own the *numbers* of a *file*, and the row whose file *lock* is, one of those in *rows*; `alone` and `joined` make it."""
        self._map = numbers
        self._view = memoryview(numbers).cast("q")
        self._row = row * _NUMBERS
        self._file = file
        self._lock = lock
        self._rows = rows
        self._inherit(self._row)

    @property
    def held(self) -> int:
        """The bytes that lie in the store, finished or not."""
        return self.finished + self.writing + self.abandoned

    @property
    def finished(self) -> int:
        """The bytes of the store that no ingest is writing."""
        return self._sum(_HELD)

    @property
    def writing(self) -> int:
        """The bytes that ingests in progress have written."""
        return self._sum(_WRITING)

    @property
    def abandoned(self) -> int:
        """The bytes of partial files that nobody writes."""
        return self._sum(_ABANDONED)

    @property
    def promised(self) -> int:
        """The bytes that ingests in progress were admitted with and have not written yet."""
        return self._sum(_PROMISED)

    @property
    def wanted(self) -> int:
        """The bytes that some wait to write."""
        return self._sum(_WANTED)

    def hold(self, size: int) -> None:
        self._view[self._row + _HELD] += size

    def write(self, size: int) -> None:
        self._view[self._row + _WRITING] += size

    def abandon(self, size: int) -> None:
        self._view[self._row + _ABANDONED] += size

    def promise(self, size: int) -> None:
        self._view[self._row + _PROMISED] += size

    def want(self, size: int) -> None:
        self._view[self._row + _WANTED] += size

    def inherit(self) -> None:
        """Count for processes that died."""
        if self._rows is None:
            return
        for row in range(_ROWS):
            first = row * _NUMBERS
            if first == self._row or not any(self._view[first + number] for number in _OF_THE_LIVING):
                continue
            with contextlib.suppress(OSError), left_row(self._rows, row) as is_left:  # what cannot be found out now counts as before
                if is_left:
                    self._inherit(first)

    def locked(self) -> AbstractContextManager[None]:
        """Keep other processes from promising or using what we are about to; where that cannot be, it is worth one blob too many."""
        return locked(self._file)

    def close(self) -> None:
        """Release the row; who is not done yet counts for himself."""
        files, self._file, self._lock = (self._file, self._lock), None, None
        for descriptor in files:
            if descriptor is not None:
                os.close(descriptor)

    def _inherit(self, first: int) -> None:
        """Take over the row that begins there: what was being written lies there still, as far as anybody knows."""
        self.abandon(self._view[first + _WRITING])
        for number in _OF_THE_LIVING:
            self._view[first + number] = 0

    def _sum(self, number: int) -> int:
        return sum(self._view[number::_NUMBERS].tolist())


def alone() -> SharedUsage:
    """Count for this process only."""
    return SharedUsage(mmap.mmap(-1, _SIZE))


def reset(root: Path) -> None:
    """Begin to count what is in the store at *root*, for the first process of all; raise `OSError`."""
    place = shared(root)
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
        row, lock = free_row(place / "rows", _ROWS)
        return SharedUsage(mmap.mmap(file, _SIZE), row, file, lock, place / "rows")
    except BaseException:
        os.close(file)
        raise
