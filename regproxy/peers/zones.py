"""Which zones the other members are in: each says so where it is asked whether it lives."""

import asyncio
from collections.abc import Awaitable, Callable

from regproxy.peers.client import PeerError
from regproxy.peers.membership import Membership

_EVERY = 1.0  # seconds
_AT_ONCE = 32  # members whose zone is not known, that are asked in one go


class ZoneFinder:
    """Asks members for their zones, where we are in one ourselves."""

    def __init__(self, membership: Membership, ask: Callable[[str], Awaitable[str]]) -> None:
        """Tell *membership* what *ask* returns: a zone, or nothing where a member has none; it may raise `PeerError`."""
        self._membership = membership
        self._ask = ask
        self._asked: dict[str, int] = {}  # in which round
        self._round = 0

    async def run(self) -> None:
        """Look again and again, for ever: an address may become another member's."""
        while self._membership.zone is not None:
            await self.look()
            await asyncio.sleep(_EVERY)

    async def look(self) -> None:
        """Ask some of those that are not known, and one that is: who was not asked for longest first."""
        ring, known = self._membership.ring, self._membership.zone_of
        others = sorted(set(ring.members) - {ring.us}, key=lambda each: (self._asked.get(each, 0), each))
        unknown = [each for each in others if each not in known][:_AT_ONCE]
        asked = [*unknown, *[each for each in others if each in known][:1]]
        self._round += 1
        self._asked = {each: self._asked.get(each, 0) for each in others} | dict.fromkeys(asked, self._round)
        found = await asyncio.gather(*(self._zone(each) for each in asked))
        self._membership.locate({member: zone for member, zone in zip(asked, found, strict=True) if zone is not None})

    async def _zone(self, member: str) -> str | None:
        try:
            return await self._ask(member)
        except PeerError:
            return None  # who asks whether it lives says so
