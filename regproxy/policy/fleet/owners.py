"""Which members keep a value or a lock for all: the first of the order that begins at its name, as everybody who knows them finds.

Thousands that ask one at once would wait for it longer than for upstream, which is a cache where there are so many: they share in groups.
"""

from collections.abc import Callable

from regproxy.policy.fleet.ring import Ring, begin_of, number_of

_OWNERS = 2  # members that are asked, one after the other, before each does for itself
_MAX_RANKS = 16  # members that are looked at
_MAX_GROUP = 64  # members that share, on average


def group_of(ring: Ring) -> Ring:
    """Return the members that share with us: all, or half of them, a quarter and so on where they are too many."""
    groups = 1
    while len(ring) > _MAX_GROUP * groups:
        groups *= 2
    if groups == 1:
        return ring
    ours = number_of(ring.us) % groups
    return Ring((each for each in ring.members if number_of(each) % groups == ours), ring.us)


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
