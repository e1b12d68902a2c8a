"""Which members are asked whether they live, one after the other, and what came of it; seconds are the caller's.

Each member begins with the one behind it, so that those that start at the same moment all ask somebody else; and no member is asked by
many at once because it is new, or because it is dead.
"""

from bisect import bisect_right
from collections.abc import Collection, Sequence
from dataclasses import dataclass

_MAX_ASKERS = 10.0  # each second, of a member that nobody has reached


@dataclass(frozen=True, slots=True)
class Check:
    """When a member was asked last, and why it could not be reached; None: it was."""

    at: float
    reason: str | None


class Checks:
    """What became of the last check of each member."""

    def __init__(self, us: str) -> None:
        """Begin with the member behind *us*."""
        self._found: dict[str, Check] = {}
        self._last = us

    def of(self, member: str) -> Check | None:
        return self._found.get(member)

    @property
    def unreachable(self) -> list[str]:
        """List who was not reached, the one first that was not asked for longest."""
        failed = [(check.at, member) for member, check in self._found.items() if check.reason is not None]
        return [member for _, member in sorted(failed)]

    def due(self, members: Sequence[str], now: float) -> list[str]:
        """Choose who of *members*, in order, is asked in this second: the next in turn, and one that was not reached."""
        if not members:
            return []
        self._last = members[bisect_right(members, self._last) % len(members)]
        again = self.unreachable[:1]
        if again and now - self._found[again[0]].at < len(members) / _MAX_ASKERS:
            again = []
        return list(dict.fromkeys([self._last, *again]))

    def found(self, member: str, reason: str | None, now: float) -> bool:
        """Record why *member* was not reached, or None where it was, and report whether that is news."""
        before = self._found.get(member)
        self._found[member] = Check(now, reason)
        return (reason is None) != (before is None or before.reason is None)

    def retain(self, members: Collection[str]) -> None:
        """Forget who is no longer a member."""
        for gone in self._found.keys() - set(members):
            del self._found[gone]
