"""Which parts of a blob there are: runs of bytes, and how a partial file says of itself which of its bytes are written.

A file that is written ahead of its turn has holes, so its size tells nothing. Behind the last byte of the content lie two records of the
runs, written in turns: a process that is killed while it writes one leaves the other.
"""

import struct
import zlib
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator

MAX_RUNS = 1000  # in a record
_MAGIC = b"regproxy runs 1\0"
_HEAD = struct.Struct(f"<{len(_MAGIC)}s16sQII")  # magic, boot, number, count, checksum
_RUN = struct.Struct("<QQ")
_BLOCK = 4096
RECORD = -(-(_HEAD.size + MAX_RUNS * _RUN.size) // _BLOCK) * _BLOCK
RECORDS = 2 * RECORD


class Runs:
    """Bytes, as runs from *start* to *stop* (excluded) that are in order and do not touch.

    One thread at a time may change them, and any read them meanwhile: a list that is read is never changed.
    """

    def __init__(self, bounds: Iterable[tuple[int, int]] = ()) -> None:
        self._bounds: list[tuple[int, int]] = []
        for start, stop in bounds:
            self.add(start, stop)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(self._bounds)

    def __len__(self) -> int:
        return len(self._bounds)

    @property
    def total(self) -> int:
        """Count the bytes."""
        return sum(stop - start for start, stop in self)

    @property
    def stop(self) -> int:
        """Return where the last run ends."""
        return self._bounds[-1][1] if self._bounds else 0

    def add(self, start: int, stop: int) -> None:
        if start >= stop:
            return
        bounds = self._bounds
        first, last = bisect_left(bounds, start, key=_stop), bisect_right(bounds, stop, key=_start)  # those that touch, too
        if first < last:
            start, stop = min(start, bounds[first][0]), max(stop, bounds[last - 1][1])
        self._bounds = [*bounds[:first], (start, stop), *bounds[last:]]

    def remove(self, start: int, stop: int) -> None:
        if start >= stop:
            return
        bounds = self._bounds
        first, last = bisect_right(bounds, start, key=_stop), bisect_left(bounds, stop, key=_start)
        left = [(begin, start) for begin, _ in bounds[first:last] if begin < start]
        right = [(stop, end) for _, end in bounds[first:last] if end > stop]
        self._bounds = [*bounds[:first], *left, *right, *bounds[last:]]

    def reach(self, start: int) -> int:
        """Return up to where the bytes from *start* on are in: *start* where the first of them is not."""
        bounds = self._bounds
        at = bisect_right(bounds, start, key=_stop)
        return bounds[at][1] if at < len(bounds) and bounds[at][0] <= start else start

    def following(self, start: int) -> int | None:
        """Return where the first run begins that begins at *start* or later."""
        bounds = self._bounds
        at = bisect_left(bounds, start, key=_start)
        return bounds[at][0] if at < len(bounds) else None

    def gaps(self, start: int, stop: int) -> list[tuple[int, int]]:
        """List what is not in, from *start* to *stop*."""
        found = []
        while (start := self.reach(start)) < stop:
            following = self.following(start)
            end = stop if following is None else min(following, stop)
            found.append((start, end))
            start = end
        return found


def _start(run: tuple[int, int]) -> int:
    return run[0]


def _stop(run: tuple[int, int]) -> int:
    return run[1]


def records_at(size: int) -> int:
    """Return where the records of content of *size* bytes lie."""
    return -(-size // _BLOCK) * _BLOCK


def encode(runs: Runs, number: int, boot: bytes) -> bytes:
    """Write record *number*, of the first `MAX_RUNS` runs; *boot* (16 bytes) tells until when an unsynced file is to be believed."""
    bounds = list(runs)[:MAX_RUNS]
    body = b"".join(_RUN.pack(start, stop) for start, stop in bounds)
    return _HEAD.pack(_MAGIC, boot, number, len(bounds), _checksum(number, body)) + body


def decode(records: bytes, size: int, boot: bytes) -> tuple[int, Runs] | None:
    """Read the newest of both records of content of *size* bytes; None where none is valid, or both are of another boot."""
    found = [read for at in (0, RECORD) if (read := _decode(records[at : at + RECORD], size, boot)) is not None]
    return max(found, key=lambda read: read[0], default=None)


def _decode(record: bytes, size: int, boot: bytes) -> tuple[int, Runs] | None:
    if len(record) < _HEAD.size:
        return None
    magic, of_boot, number, count, checksum = _HEAD.unpack_from(record)
    body = record[_HEAD.size : _HEAD.size + count * _RUN.size]
    if (magic, of_boot, checksum, len(body)) != (_MAGIC, boot, _checksum(number, body), count * _RUN.size):
        return None
    runs = Runs(_RUN.iter_unpack(body))
    return (number, runs) if runs.stop <= size else None


def _checksum(number: int, body: bytes) -> int:
    return zlib.crc32(body, number & 0xFFFFFFFF)
