"""How a blob is cut into pieces: alike by everybody, and before its size is known."""

from collections.abc import Iterator
from dataclasses import dataclass

MIB = 1024 * 1024
FIRST = MIB  # bytes of the first piece: what a member asks for before it knows how long the blob is
MAX_COUNTED = 2000  # pieces of a blob that are shown to people: 16 GiB
# Up to where, pieces of which size: small ones at the front are spread over more members, and reach the last one sooner.
_SIZES = ((64 * MIB, MIB), (4096 * MIB, 4 * MIB))
_LARGEST = 16 * MIB


@dataclass(frozen=True, slots=True)
class Cut:
    """Bytes *start* to *stop* of a blob, which are its piece *number*; the last piece of a blob ends before."""

    number: int
    start: int
    stop: int


def piece_at(offset: int) -> Cut:
    """Return the piece that byte *offset* lies in."""
    number, begin = 0, 0
    for end, size in _SIZES:
        if offset < end:
            return _cut(number, begin, size, offset)
        number += (end - begin) // size
        begin = end
    return _cut(number, begin, _LARGEST, offset)


def _cut(number: int, begin: int, size: int, offset: int) -> Cut:
    nth = (offset - begin) // size
    start = begin + nth * size
    return Cut(number + nth, start, start + size)


def cuts(size: int) -> Iterator[Cut]:
    """Cut a blob of *size* bytes, not empty, into its pieces; not more than `MAX_COUNTED` of them."""
    offset = 0
    for _ in range(MAX_COUNTED):
        yield (cut := piece_at(offset))
        if (offset := cut.stop) >= size:
            return
