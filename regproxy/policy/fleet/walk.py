"""In which order a member asks others for a piece.

It asks its ancestors from above, because who is near the root has the piece first; who has enough to do says so, and the next one down is
asked. The parent is asked last, and must serve. Where even the parent fails, those above are asked once more, now to serve whatever they
have to do, and then the lowest ranks, the first of which that lives acts as the root. In the end nobody is left but upstream.
"""

from collections.abc import Callable
from dataclasses import dataclass

from regproxy.policy.fleet.ring import Begin, Ring, ancestors

_MOST_ROOTS = 8  # of the lowest ranks, that are looked at for one that acts as the root


@dataclass(frozen=True, slots=True)
class Ask:
    """Who is asked, and whether it must serve, however busy."""

    member: str
    is_final: bool


class Walk:
    """The walk of one member for one piece."""

    def __init__(self, ring: Ring, begin: Begin, level: int | None, is_suspected: Callable[[str], bool]) -> None:
        """Begin at *level*, 0 being the root, or at the parent where nothing is known; leave out who *is_suspected*."""
        rank, fan_out = ring.rank(begin), ring.fan_out
        ranks = ancestors(rank, fan_out)
        self.depth = len(ranks)
        self._chain = [ring.at(begin, each) for each in ranks]
        self._roots = [ring.at(begin, each) for each in range(1, min(rank, _MOST_ROOTS)) if each not in ranks]
        self._index = max(self.depth - 1, 0) if level is None else min(level, max(self.depth - 1, 0))
        self._is_suspected = is_suspected
        self._last_resorts: list[str] | None = None  # once the parent has failed
        self._failed: set[str] = set()

    @property
    def level(self) -> int:
        """Where the next walk is to begin after this one was served: one above, in case there is room by now."""
        return max(self._index - 1, 0)

    def next(self) -> Ask | None:
        """Return who is to be asked now; None: nobody is left but upstream."""
        while self._last_resorts is None:
            if self._index >= self.depth:
                self._last_resorts = [*self._chain[::-1], *self._roots]
            elif self._is_out(self._chain[self._index]):
                self._index += 1
            else:
                return Ask(self._chain[self._index], is_final=self._index == self.depth - 1)
        while self._last_resorts and self._is_out(self._last_resorts[0]):
            self._last_resorts.pop(0)
        return Ask(self._last_resorts[0], is_final=True) if self._last_resorts else None

    def busy(self, ask: Ask) -> None:
        """Record that who was asked has enough to do."""
        if ask.is_final:
            self._failed.add(ask.member)
        else:
            self._index += 1

    def failed(self, ask: Ask) -> None:
        """Record that who was asked did not serve, or not all of it."""
        self._failed.add(ask.member)

    def _is_out(self, member: str) -> bool:
        return member in self._failed or self._is_suspected(member)
