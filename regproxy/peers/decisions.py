"""Freezes and pins of all members: who knows something else is asked for all that it knows, and what is newer counts here too."""

import logging
import time
from collections.abc import Awaitable, Callable

from regproxy.peers.reply import PeerError
from regproxy.policy.clock import WallClock
from regproxy.policy.fleet.decisions import Decision, newer, told, version
from regproxy.ports import Decisions, StoreError
from regproxy.telemetry.log import fields

Ask = Callable[[str], Awaitable[list[Decision]]]
"""Asks a member for what it tells; raises `PeerError`."""

_log = logging.getLogger(__name__)


class SharedDecisions:
    """What operators decided, here and at other members."""

    def __init__(self, decisions: Decisions, clock: WallClock = time.time) -> None:
        """Keep *decisions* as those of all."""
        self._decisions = decisions
        self._clock = clock

    async def told(self) -> list[Decision]:
        """Return what is told to others; raise `StoreError`."""
        return told(await self._decisions.all(), self._now)

    async def version(self) -> str:
        """Name that; empty where it cannot be read."""
        try:
            return version(await self.told())
        except StoreError:
            return ""

    async def learn(self, member: str, theirs: str, ask: Ask) -> None:
        """Learn from a *member* that told another version, *theirs*; what cannot be learnt is learnt later."""
        if not theirs or theirs == await self.version():
            return
        try:
            found = newer(await self._decisions.all(), await ask(member), self._now)
            if not found:
                return
            await self._decisions.adopt(found)
        except (PeerError, StoreError) as error:
            _log.warning("cannot learn freezes and pins of a member of the fleet", extra=fields(member=member, reason=str(error)))
            return
        for each in found:
            ended = "" if each.value is not None else "un"
            what = f"{ended}{'frozen' if each.kind == 'freeze' else 'pinned'}"
            _log.info("decided at another member of the fleet", extra=fields(member=member, what=what, name=each.name))

    @property
    def _now(self) -> int:
        return int(self._clock() * 1000)
