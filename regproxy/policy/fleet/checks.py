"""Which members are asked whether they live, one after the other, and what came of it; seconds are the caller's."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Check:
    """When a member was asked last, and why it could not be reached; None: it was."""

    at: float
    reason: str | None


class Checks:
    """What became of the last check of each member."""

    def __init__(self) -> None:
        self._found: dict[str, Check] = {}

    def of(self, member: str) -> Check | None:
        return self._found.get(member)

    @property
    def unreachable(self) -> list[str]:
        """List who was not reached, the one first that was not asked for longest."""
        failed = [(check.at, member) for member, check in self._found.items() if check.reason is not None]
        return [member for _, member in sorted(failed)]

    def due(self, members: Sequence[str]) -> list[str]:
        """Choose who of *members* is asked now: the next in turn, and one that was not reached, whose turn may be far off."""
        turn = min(members, key=lambda each: found.at if (found := self._found.get(each)) else float("-inf"), default=None)
        return list(dict.fromkeys([*([] if turn is None else [turn]), *self.unreachable[:1]]))

    def found(self, member: str, reason: str | None, now: float) -> bool:
        """Record why *member* was not reached, or None where it was, and report whether that is news."""
        before = self._found.get(member)
        self._found[member] = Check(now, reason)
        return (reason is None) != (before is None or before.reason is None)

    def retain(self, members: Collection[str]) -> None:
        """Forget who is no longer a member."""
        for gone in self._found.keys() - set(members):
            del self._found[gone]
