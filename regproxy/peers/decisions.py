"""Freezes and pins of all members: who knows something else is asked for all that it knows, and what is newer counts here too."""

import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from cachetools import LRUCache

from regproxy.peers.reply import PeerError
from regproxy.policy.clock import WallClock
from regproxy.policy.fleet.decisions import MAX, Decision, newer, told, version
from regproxy.ports import Decisions, StoreError
from regproxy.telemetry.log import fields

Ask = Callable[[str], Awaitable[list[Decision]]]
"""Asks a member for what it tells; raises `PeerError`."""

_MAX_PAUSE = 63  # looks at a member, between two questions in vain
_MAX_MEMBERS = 20_000  # that are remembered for that

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Vain:
    """A member that is to be asked less while we know, and it tells, these *versions*."""

    versions: tuple[str, str]
    pause: int = 0  # looks without a question, after the next one
    left: int = 0  # of them now

    def is_due(self) -> bool:
        if self.left:
            self.left -= 1
            return False
        self.left = self.pause
        self.pause = min(2 * self.pause + 1, _MAX_PAUSE)
        return True


@dataclass(frozen=True, slots=True)
class _Known:
    """What was *found* in a *minute*, and so is *told*, with its version."""

    found: list[Decision]
    minute: int
    told: list[Decision]
    version: str


class SharedDecisions:
    """What operators decided, here and at other members."""

    def __init__(self, decisions: Decisions, clock: WallClock = time.time) -> None:
        """Keep *decisions* as those of all."""
        self._decisions = decisions
        self._clock = clock
        self._is_too_much = False
        self._known = _Known([], -1, [], "")
        self._vain: LRUCache[str, _Vain] = LRUCache(_MAX_MEMBERS)

    async def told(self) -> list[Decision]:
        """Return what is told to others; raise `StoreError`."""
        return (await self._read()).told

    async def version(self) -> str:
        """Name that; empty where it cannot be read."""
        try:
            return (await self._read()).version
        except StoreError:
            return ""

    async def _read(self) -> _Known:
        """Read what is known; where that is the same as before, what is told is computed once a minute, and not at each look."""
        found, minute = await self._decisions.all(), self._now // 60_000
        if (self._known.found, self._known.minute) != (found, minute):
            some = told(found, self._now)
            if len(some) >= MAX and len(found) > len(some) and not self._is_too_much:
                self._is_too_much = True
                _log.warning("more freezes and pins than members of the fleet tell each other", extra=fields(known=len(found), told=MAX))
            self._known = _Known(list(found), minute, some, version(some))
        return self._known

    async def learn(self, member: str, theirs: str, ask: Ask) -> None:
        """Learn from a *member* that told another version, *theirs*; what cannot be learnt is learnt later.

        Who tells nothing that counts here is asked ever less, until one of us knows something else.
        """
        if not theirs or theirs == (ours := await self.version()):
            self._vain.pop(member, None)
            return
        vain = self._vain.get(member)
        if vain is None or vain.versions != (ours, theirs):
            vain = self._vain[member] = _Vain((ours, theirs))
        if not vain.is_due():
            return
        try:
            found = newer(await self._decisions.all(), await ask(member), self._now)
            if found:
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
