"""Which members keep a value or a lock for all: the first of the order that begins at its name, as everybody who knows them finds."""

from collections.abc import Callable

from regproxy.policy.fleet.ring import Ring, begin_of

_OWNERS = 2  # members that are asked, one after the other, before each does for itself
_MAX_RANKS = 16  # members that are looked at


def owners(ring: Ring, name: str, is_suspected: Callable[[str], bool]) -> list[str]:
    """List who is asked for *name*, in that order: none behind ourselves, and nobody who *is_suspected*."""
    begin, found = begin_of(name), list[str]()
    for rank in range(min(len(ring), _MAX_RANKS)):
        member = ring.at(begin, rank)
        if member == ring.us or not is_suspected(member):
            found.append(member)
        if member == ring.us or len(found) == _OWNERS:
            break
    return found
