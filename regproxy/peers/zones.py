"""Which zones the other members are in: each says so where it is asked whether it lives."""

import asyncio
import time
from bisect import bisect_right
from collections.abc import Awaitable, Callable

from regproxy.peers.membership import Membership
from regproxy.peers.reply import PeerError
from regproxy.policy.clock import MonotonicClock
from regproxy.policy.fleet.checks import Checks

_EVERY = 1.0  # seconds
_AT_ONCE = 32  # members that are new, that are asked in one go


class ZoneFinder:
    """Asks members for their zones, where we are in one ourselves."""

    def __init__(self, membership: Membership, ask: Callable[[str], Awaitable[str]], clock: MonotonicClock = time.monotonic) -> None:
        """Tell *membership* what *ask* returns: a zone, or nothing where a member has none; it may raise `PeerError`."""
        self._membership = membership
        self._ask = ask
        self._clock = clock
        self._checks = Checks(membership.ring.us)

    async def run(self) -> None:
        """Look again and again, for ever: an address may become another member's."""
        while self._membership.zone is not None:
            await self.look()
            await asyncio.sleep(_EVERY)

    async def look(self) -> None:
        """Ask some that are new, those behind us first so that not all ask the same, and of the others whoever is due."""
        us, now = self._membership.ring.us, self._clock()
        others = sorted(set(self._membership.ring.members) - {us})
        self._checks.retain(others)
        behind = bisect_right(others, us)
        new = [each for each in [*others[behind:], *others[:behind]] if self._checks.of(each) is None][:_AT_ONCE]
        asked = list(dict.fromkeys([*new, *self._checks.due(others, now)]))
        found = await asyncio.gather(*(self._zone(each) for each in asked))
        self._membership.locate({member: zone for member, zone in zip(asked, found, strict=True) if zone is not None})

    async def _zone(self, member: str) -> str | None:
        try:
            zone, reason = await self._ask(member), None
        except PeerError as error:
            zone, reason = None, str(error)  # who asks whether it lives says so
        self._checks.found(member, reason, self._clock())
        return zone
