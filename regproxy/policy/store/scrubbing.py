"""Which part of the store is read and hashed again now.

It is a matter of the clock alone: a restart neither begins again nor leaves anything out.
"""

from dataclasses import dataclass

SHARDS = tuple(f"{number:02x}" for number in range(256))  # by the first two digits of the digests: even parts, as hashes are


@dataclass(frozen=True, slots=True)
class Turn:
    """A shard, and until when it is its turn, in epoch seconds."""

    shard: str
    ends_at: float


def turn(now: float, period: float) -> Turn:
    """Return which shard's turn it is, if each has one in every *period* seconds."""
    length = period / len(SHARDS)
    number = int(now // length)
    return Turn(SHARDS[number % len(SHARDS)], (number + 1) * length)
