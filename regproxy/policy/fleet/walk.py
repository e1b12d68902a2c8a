"""In which order a member asks others for a piece.

It asks its ancestors from above, because who is near the root has the piece first; who has enough to do says so, and the next one down is
asked. The parent is asked last, and must serve. Where even the parent fails, those above are asked once more, now to serve whatever they
have to do, and then the lowest ranks, the first of which that lives acts as the root. Who can do no more at all is asked again after a
pause, some times. In the end nobody is left but upstream.

Where members lie in zones, it asks those of its own in this way. The first of a zone asks the first of others, as does who is left alone.
"""

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass

from regproxy.policy.fleet.pace import Spent
from regproxy.policy.fleet.ring import Begin, Ring, ancestors
from regproxy.policy.fleet.zones import Zones

_MAX_STALLS = 8  # of one member, in one piece
_PAUSES = (0.25, 0.5, 1.0, 2.0, 2.0, 2.0, 2.0)  # seconds in which members that are full may have done something
_MOST_ROOTS = 8  # of the lowest ranks, that are looked at for one that acts as the root


@dataclass(frozen=True, slots=True)
class Ask:
    """Who is asked, and whether it must serve, however busy."""

    member: str
    is_final: bool


class Walk:
    """The walk of one member for one piece."""

    def __init__(self, zones: Zones, begin: Begin, level: int | None, is_suspected: Callable[[str], bool]) -> None:
        """Begin at *level*, 0 being the root, or at the parent where nothing is known; leave out who *is_suspected*."""
        near, heads = zones.near, zones.heads(begin)
        inner = [near.at(begin, each) for each in ancestors(near.rank(begin), near.fan_out)]
        outer = [heads[each] for each in ancestors(len(heads), zones.ring.fan_out)]
        self.depth = len(inner) + len(outer)
        self._chain = inner or outer
        self._roots = [*_lowest(near, begin), *heads, *_lowest(zones.ring, begin)]
        deepest = max(len(self._chain) - 1, 0)
        self._index = deepest if level is None else min(level, deepest)
        self._is_suspected = is_suspected
        self._last_resorts: list[str] | None = None  # once the parent has failed
        self._failed: set[str] = set()
        self._full: set[str] = set()  # those that can do no more at the moment
        self._pauses = iter(_PAUSES)
        self._stalls: Counter[str] = Counter()
        self.spent: defaultdict[str, Spent] = defaultdict(Spent)  # by each member

    @property
    def level(self) -> int:
        """Where the next walk is to begin after this one was served: one above, in case there is room by now."""
        return max(self._index - 1, 0)

    @property
    def full(self) -> frozenset[str]:
        """Those that could do no more when they were asked last."""
        return frozenset(self._full)

    def next(self) -> Ask | None:
        """Return who is to be asked now; None: nobody."""
        while self._last_resorts is None:
            if self._index >= len(self._chain):
                self._last_resorts = list(dict.fromkeys([*self._chain[::-1], *self._roots]))
            elif self._is_out(self._chain[self._index]):
                self._index += 1
            else:
                return Ask(self._chain[self._index], is_final=self._index == len(self._chain) - 1)
        while self._last_resorts and self._is_out(self._last_resorts[0]):
            self._last_resorts.pop(0)
        return Ask(self._last_resorts[0], is_final=True) if self._last_resorts else None

    def busy(self, ask: Ask) -> None:
        """Record that who was asked has enough to do."""
        if ask.is_final:
            self._full.add(ask.member)
        else:
            self._index += 1

    def pause(self) -> float | None:
        """Return in how many seconds there may be somebody to be asked again; None: nobody is left but upstream."""
        if not self._full or (pause := next(self._pauses, None)) is None:
            return None
        self._full.clear()
        self._last_resorts = None
        return pause

    def failed(self, ask: Ask) -> None:
        """Record that who was asked did not serve, or not all of it."""
        self._failed.add(ask.member)

    def stalled(self, ask: Ask, *, has_waited: bool) -> bool:
        """Record that who was asked stopped in the middle, and report whether it is asked for the rest.

        One that waits for bytes itself says so then; who had them to send, or does not, is asked no more.
        """
        self._stalls[ask.member] += 1
        if self._stalls[ask.member] > (_MAX_STALLS if has_waited else 1):
            self._failed.add(ask.member)
        return ask.member not in self._failed

    def _is_out(self, member: str) -> bool:
        return member in self._failed or member in self._full or self._is_suspected(member)


def _lowest(ring: Ring, begin: Begin) -> list[str]:
    """List the first members that come before us."""
    return [ring.at(begin, each) for each in range(min(ring.rank(begin), _MOST_ROOTS))]
