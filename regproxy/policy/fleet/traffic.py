"""How many bytes of pieces came from each member, and went to it."""

from collections.abc import Collection, Mapping

MAX_TAKEN = 1000  # members at once


class Traffic:
    """Received and sent bytes by member."""

    def __init__(self) -> None:
        self._moved: dict[str, tuple[int, int]] = {}

    def of(self, member: str) -> tuple[int, int]:
        """Return how many bytes were received from *member*, and sent to it."""
        return self._moved.get(member, (0, 0))

    def count(self, member: str, *, received: int = 0, sent: int = 0) -> None:
        before = self.of(member)
        self._moved[member] = before[0] + received, before[1] + sent

    def take(self) -> dict[str, tuple[int, int]]:
        """Return what was counted since it was taken last, of some of the members; the others come next."""
        return {member: self._moved.pop(member) for member in list(self._moved)[:MAX_TAKEN]}

    def add(self, taken: Mapping[str, tuple[int, int]]) -> None:
        """Count what was taken elsewhere."""
        for member, (received, sent) in taken.items():
            self.count(member, received=received, sent=sent)

    def retain(self, members: Collection[str]) -> None:
        """Forget who is no longer a member."""
        for gone in self._moved.keys() - set(members):
            del self._moved[gone]
