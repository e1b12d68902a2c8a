"""The pieces of a blob in an object store, each with a hash of its own, so that what is wrong is found before a client has it."""

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256

_SMALLEST = 1024 * 1024
_LARGEST = 4 * 1024 * 1024  # bytes that wait in memory until they are verified, for each connection
_MANY = 1024  # pieces; a blob of more has larger ones
_HASH = 32  # bytes
MAX_BLOB = 2**36  # bytes; the hashes of that are 512 KiB


def piece_size(size: int) -> int:
    """Return how long the pieces of a blob of *size* bytes are; the last one may be shorter."""
    wanted = _SMALLEST
    while wanted < _LARGEST and size > wanted * _MANY:
        wanted *= 2
    return wanted


def hash_of(piece: bytes | bytearray | memoryview) -> bytes:
    return sha256(piece).digest()


@dataclass(frozen=True, slots=True)
class PieceSums:
    """The hashes of the pieces of a blob of *size* bytes, one after another; raise `ValueError` where they do not fit."""

    size: int
    piece: int
    hashes: bytes

    def __post_init__(self) -> None:
        if not 0 <= self.size <= MAX_BLOB or self.piece != piece_size(self.size):
            raise ValueError("no such blob has such pieces")
        if len(self.hashes) != _HASH * -(-self.size // self.piece):
            raise ValueError("there are as many hashes as pieces")

    def bounds(self, start: int, stop: int) -> tuple[int, int]:
        """Return from where to where whole pieces reach that bytes *start* to *stop* lie in."""
        return start - start % self.piece, min(-(-stop // self.piece) * self.piece, self.size)

    def lengths(self, begin: int, end: int) -> Iterator[int]:
        """Yield how long the pieces between two bounds are."""
        for start in range(begin, end, self.piece):
            yield min(self.piece, end - start)

    def is_right(self, start: int, piece: bytes | bytearray | memoryview) -> bool:
        """Report whether *piece*, which begins at *start*, is what belongs there."""
        place = start // self.piece * _HASH
        return hash_of(piece) == self.hashes[place : place + _HASH]
