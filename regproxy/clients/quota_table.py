"""What clients with a quota have used, in memory that all workers of a machine have in view.

A row for each client: what it may yet be sent, as of when, and how many connections it has at each process. Where there are more clients
than rows, the row that was used longest ago is taken over: its client begins anew, as one does that was away for a while.
"""

import mmap
import os
import secrets
import struct
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path

from regproxy.policy.clients.token_bucket import Rate, TokenBucket
from regproxy.shm import free_row, left_row, locked, shared

_MAX_CLIENTS = 4096
_MAX_PROCESSES = 128
_LOOKS = 16  # rows that a client's may be
_BUCKET = struct.Struct(
    "=Qddd"
)  # the client, its balance in bytes as of when, and when it was used last, in seconds of the monotonic clock
_COUNT = struct.Struct("=H")
_MAX_COUNT = 0xFFFF
_ROW = _BUCKET.size + _MAX_PROCESSES * _COUNT.size
_SIZE = _MAX_CLIENTS * _ROW
_SALT_BYTES = 64


class QuotaTable:
    """The rows of all clients; a balance is changed by one process at a time."""

    def __init__(self, memory: mmap.mmap, salt: bytes, process: int = 0, files: tuple[int, ...] = ()) -> None:
        """Write connections as those of *process*, and names by a hash with *salt*; the first of *files* is locked for a change.

        `alone` and `joined` make it.
        """
        self._memory = memory
        self._process = process
        self._files = files
        self._salt = salt
        self._name = lru_cache(_MAX_CLIENTS)(self._hashed)
        self.disconnect_all(self._process)

    def owe(self, client: str, rate: Rate, size: int, now: float) -> float:
        """Charge *size* bytes to *client*, and return in how many seconds they may be sent."""
        with self._changing(client, rate, now) as bucket:
            return bucket.owe(rate, now, size)

    def give_back(self, client: str, rate: Rate, size: int, now: float) -> None:
        """Refund what was charged and is not sent."""
        with self._changing(client, rate, now) as bucket:
            bucket.give_back(rate, now, size)

    def pause(self, client: str, rate: Rate, now: float) -> float:
        """Return in how many seconds *client* may be sent more."""
        with self._changing(client, rate, now) as bucket:
            return bucket.owe(rate, now, 0)

    def connect(self, client: str, own: int, most: int | None, now: float) -> bool:
        """Record that *client* has *own* connections at this process, unless it had more than *most* in all then."""
        name = self._name(client)
        with self._locked():
            start = self._row(name, now) + _BUCKET.size
            counts = memoryview(self._memory)[start : start + _MAX_PROCESSES * _COUNT.size].cast("H")
            with counts:
                others = sum(counts) - counts[self._process]
                if most is not None and others + own > most:
                    return False
                counts[self._process] = min(own, _MAX_COUNT)
        return True

    def close(self) -> None:
        self.disconnect_all(self._process)
        files, self._files = self._files, ()
        for each in files:
            os.close(each)

    def disconnect_all(self, process: int) -> None:
        """Record that *process* has no connections."""
        for start in range(_BUCKET.size, _SIZE, _ROW):
            _COUNT.pack_into(self._memory, start + process * _COUNT.size, 0)

    @contextmanager
    def _changing(self, client: str, rate: Rate, now: float) -> Iterator[TokenBucket]:
        """Give the balance of *client*, and write down what becomes of it."""
        name = self._name(client)
        with self._locked():
            start = self._row(name, now)
            _, left, at, _ = _BUCKET.unpack_from(self._memory, start)
            bucket = TokenBucket(min(left, rate.burst), at) if at else TokenBucket(rate.burst, now)
            yield bucket
            _BUCKET.pack_into(self._memory, start, name, bucket.left, bucket.at, now)

    def _hashed(self, client: str) -> int:
        """Return a number for *client* that nobody can make another client's."""
        return int.from_bytes(blake2b(client.encode(), digest_size=8, key=self._salt).digest(), "little") or 1

    def _row(self, name: int, now: float) -> int:
        """Return where the row of a client lies; where it has none, it gets the one that is free, or was used longest ago."""
        for start in self._rows(name):
            found, left, at, _ = _BUCKET.unpack_from(self._memory, start)
            if found == name:
                _BUCKET.pack_into(self._memory, start, name, left, at, now)
                return start
        start = min(self._rows(name), key=lambda each: float(_BUCKET.unpack_from(self._memory, each)[3]))
        self._memory[start : start + _ROW] = bytes(_ROW)
        _BUCKET.pack_into(self._memory, start, name, 0.0, 0.0, now)
        return start

    @staticmethod
    def _rows(name: int) -> Iterator[int]:
        """Yield where the row of a client may lie, the likeliest place first."""
        return ((name + step) % _MAX_CLIENTS * _ROW for step in range(_LOOKS))

    def _locked(self) -> AbstractContextManager[None]:
        return locked(self._files[0] if self._files else None)


def alone() -> QuotaTable:
    """Count for this process only."""
    return QuotaTable(mmap.mmap(-1, _SIZE), secrets.token_bytes(_SALT_BYTES))


def joined(root: Path) -> QuotaTable:
    """Count with all processes that serve from the store at *root*; raise `OSError`."""
    place = shared(root)
    file = os.open(place / "quotas", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(file, 0, _SIZE)  # memory that is found to be missing by touching a mapped page kills
        row, lock = free_row(place / "quota-rows", _MAX_PROCESSES)
        table = QuotaTable(mmap.mmap(file, _SIZE), place.name.encode()[-_SALT_BYTES:], row, (file, lock))  # a name that was drawn for us
    except BaseException:
        os.close(file)
        raise
    for other in set(range(_MAX_PROCESSES)) - {row}:
        with suppress(OSError), left_row(place / "quota-rows", other) as is_left:
            if is_left:
                table.disconnect_all(other)  # it was killed, and its successor may have another row
    return table
