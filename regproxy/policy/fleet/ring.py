"""Who stands above whom for a piece: a tree over all members, another one for each piece.

Members lie on circles of hashes, and a piece begins somewhere on one of them. How far a member is from there, clockwise, is the same in
every view of the membership that has it, and so is the order of any two. Whoever asks only members that come before it, in that order,
never asks in a circle, whatever the views.
"""

import hashlib
from bisect import bisect_left
from collections.abc import Iterable
from copy import copy
from dataclasses import dataclass

_CIRCLES = 4  # where few members lie on one, some have many times as much of it as others; over several that evens out
_RUN = (
    8  # pieces that begin on the same one, one after the other: about those that are on their way at once, which golden steps spread best
)
_LENGTH = 2**64
_GOLDEN = 0x9E3779B97F4A7C15  # of a circle: consecutive pieces begin far from each other, and evenly
_FEW = 16  # members
_FAN_OUT = 4
_FAN_OUT_OF_FEW = 2


@dataclass(frozen=True, slots=True)
class Begin:
    """Where a piece begins: on which circle, and where on it."""

    circle: int
    place: int


def _position(text: str, circle: int) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8, salt=bytes([circle])).digest())


def start(digest: str, number: int) -> Begin:
    """Return where the piece *number* of the blob *digest* begins."""
    return Begin(number // _RUN % _CIRCLES, (_position(digest, 0) + number * _GOLDEN) % _LENGTH)


def number_of(member: str) -> int:
    """Return a number of 64 bits that has nothing to do with where a member lies."""
    return _position(member, _CIRCLES)


def begin_of(name: str) -> Begin:
    """Return where what is no piece begins, such as a value that one member keeps for all."""
    place = _position(name, 0)
    return Begin(place % _CIRCLES, place)


def parent(rank: int, fan_out: int) -> int:
    """Return the rank that the one of *rank* asks; rank 0 asks nobody."""
    return (rank - 1) // fan_out


def ancestors(rank: int, fan_out: int) -> list[int]:
    """List the ranks from the root down to the parent of *rank*."""
    found: list[int] = []
    while rank > 0:
        rank = parent(rank, fan_out)
        found.append(rank)
    return found[::-1]


class _Circle:
    """Members in their order on one circle."""

    def __init__(self, places: Iterable[tuple[int, str]]) -> None:
        ordered = sorted(places)
        self.members = [name for _, name in ordered]
        self.positions = [place for place, _ in ordered]
        self.index = {name: number for number, name in enumerate(self.members)}


class Ring:
    """One view of the membership; *us* is a member of it, whatever others say."""

    def __init__(self, members: Iterable[str], us: str) -> None:
        """Sort the names of *members*."""
        names = {*members, us}
        self.us = us
        self._circles = [_Circle((_position(name, number), name) for name in names) for number in range(_CIRCLES)]

    def __len__(self) -> int:
        return len(self.members)

    def __contains__(self, name: str) -> bool:
        return name in self._circles[0].index

    @property
    def members(self) -> list[str]:
        return self._circles[0].members

    @property
    def fan_out(self) -> int:
        """How many members ask one: more make the tree flatter, fewer leave each more of its line."""
        return _FAN_OUT_OF_FEW if len(self) <= _FEW else _FAN_OUT

    def seen_by(self, us: str) -> "Ring":
        """Return the same view as another of its members has it."""
        other = copy(self)
        other.us = us
        return other

    def shares(self) -> dict[str, float]:
        """Return for each member which part of all pieces it is the root of: those it asks upstream for while it is well."""
        found = dict.fromkeys(self.members, 0.0)
        for circle in self._circles:
            for name, before, place in zip(circle.members, [circle.positions[-1], *circle.positions], circle.positions, strict=False):
                found[name] += ((place - before) % _LENGTH or _LENGTH) / _LENGTH / _CIRCLES
        return found

    def last(self, begin: Begin) -> "Ring":
        """Return our view where we come after all others in the order that begins at *begin*, and in no other one."""
        circle, other = self._circles[begin.circle], copy(self)
        places = [(place, name) for place, name in zip(circle.positions, circle.members, strict=True) if name != self.us]
        other._circles = list(self._circles)  # noqa: SLF001 -- our own kind
        other._circles[begin.circle] = _Circle([*places, ((begin.place - 1) % _LENGTH, self.us)])  # noqa: SLF001
        return other

    def rank(self, begin: Begin) -> int:
        """Return our own place in the order that begins at *begin*."""
        return self.rank_of(self.us, begin)

    def rank_of(self, member: str, begin: Begin) -> int:
        """Return the place of *member* in the order that begins at *begin*."""
        circle = self._circles[begin.circle]
        return (circle.index[member] - bisect_left(circle.positions, begin.place)) % len(self)

    def at(self, begin: Begin, rank: int) -> str:
        """Name the member of *rank* in the order that begins at *begin*."""
        circle = self._circles[begin.circle]
        return circle.members[(bisect_left(circle.positions, begin.place) + rank) % len(self)]
