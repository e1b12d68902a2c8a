"""Which members are near us: those of our zone, such as a cloud's availability zone, between which traffic costs little.

For each piece the members of a zone are a tree of their own, and the first of each zone are another one above them. So a piece enters a
zone once, and still nobody asks a member that comes later in the order that all share.
"""

from collections.abc import Mapping
from types import MappingProxyType

from regproxy.policy.fleet.ring import Begin, Ring

_NOWHERE: Mapping[str, str] = MappingProxyType({})


class Zones:
    """One view of the membership, by zone; a member whose zone is not known counts as near."""

    def __init__(self, ring: Ring, zones: Mapping[str, str] = _NOWHERE) -> None:
        """Take the members of *ring*, who are in *zones* by their names; without our own zone all are near."""
        self.ring = ring
        ours, far = zones.get(ring.us, ""), dict[str, list[str]]()
        for member in ring.members if ours else ():
            if (zone := zones.get(member, "")) and zone != ours:
                far.setdefault(zone, []).append(member)
        others = {member for members in far.values() for member in members}
        self.near = Ring(set(ring.members) - others, ring.us) if far else ring
        self._far = [Ring(members, members[0]) for members in far.values()]

    def last(self, begin: Begin) -> "Zones":
        """Return our view where we come after all others in the order that begins at *begin*."""
        other = Zones(self.ring.last(begin))
        other.near, other._far = self.near.last(begin), self._far
        return other

    def heads(self, begin: Begin) -> list[str]:
        """List the first member of each other zone, of those that come before us, in order."""
        found = [(self.ring.rank_of(head, begin), head) for ring in self._far if (head := ring.at(begin, 0))]
        return [head for rank, head in sorted(found) if rank < self.ring.rank(begin)]

    def is_near(self, member: str) -> bool:
        return member in self.near
