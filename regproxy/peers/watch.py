"""The fleet as its operators see it: who is a member, who can be reached, and what went to and fro."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Collection, Container, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Literal, Protocol, TypeAlias

from regproxy.oci.digest import Digest
from regproxy.oci.reference import Repository
from regproxy.peers.client import Pong
from regproxy.peers.decisions import SharedDecisions
from regproxy.peers.membership import Membership
from regproxy.peers.pieces.cache import PieceCache
from regproxy.policy.clock import WallClock
from regproxy.policy.fleet.checks import Checks
from regproxy.policy.fleet.cut import cuts
from regproxy.policy.fleet.decisions import Decision
from regproxy.policy.fleet.ring import Ring, start
from regproxy.policy.fleet.traffic import Traffic
from regproxy.telemetry import metrics
from regproxy.telemetry.log import fields

_EVERY = 1.0  # seconds: however many members there are, each asks one or two of them, and is asked about as often
_MAX_NAMED = 10  # members, in one line of the log

Health: TypeAlias = Literal["healthy", "suspected", "unreachable", "unknown"]
Suspected: TypeAlias = Callable[[], Iterable[Mapping[str, str]]]
"""Returns for each process of ours why it leaves members alone, by their names."""

_WORST_FIRST: tuple[Health, ...] = ("unreachable", "suspected", "unknown", "healthy")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class MemberStatus:
    """How a member is doing, as this one sees it; `checked_at` in seconds since 1970, None where it was not asked yet."""

    address: str
    is_us: bool
    zone: str | None  # None where it has none, or it is not known yet
    health: Health
    reason: str | None  # why it is not healthy
    checked_at: float | None
    share: float  # of all pieces: those that it asks upstream for
    received_bytes: int  # from it
    sent_bytes: int  # to it


class Pinger(Protocol):
    """Asks members whether they live, and for what operators decided there."""

    async def ping(self, member: str) -> Pong: ...

    async def decisions(self, member: str) -> list[Decision]: ...


class FleetWatch:
    """Asks members one after the other whether they live, once for all processes of a regproxy, and gathers what these know."""

    def __init__(
        self,
        membership: Membership,
        pinger: Pinger,
        cache: PieceCache,
        exchanged: Container[str],
        ours: Traffic,
        total: Traffic,
        suspected: Suspected,
        decisions: SharedDecisions,
        clock: WallClock = time.time,
    ) -> None:
        """Add what this process counts, *ours*, to the *total* of all; members exchange blobs of the upstreams *exchanged*."""
        self._membership = membership
        self._pinger = pinger
        self._cache = cache
        self._exchanged = exchanged
        self._ours = ours
        self._total = total
        self._suspected = suspected
        self._decisions = decisions
        self._clock = clock
        self._known: frozenset[str] = frozenset()
        self._checks = Checks(membership.ring.us)

    async def run(self) -> None:
        """Look again and again, for ever."""
        while True:
            await self.look()
            await asyncio.sleep(_EVERY)

    async def look(self) -> None:
        """See who came and went, and ask one or two members whether they live."""
        ring = self._membership.ring
        self._note(frozenset(ring.members) - {ring.us})
        self._total.add(self._ours.take())
        for member in self._checks.due(sorted(self._known), self._clock()):
            pong = await self._pinger.ping(member)
            await self._decisions.learn(member, pong.decisions, self._pinger.decisions)
            reason = pong.trouble
            if not self._checks.found(member, reason, self._clock()):
                continue
            if reason is None:
                _log.info("a member of the fleet is reached again", extra=fields(member=member))
            else:
                _log.warning("cannot reach a member of the fleet", extra=fields(member=member, reason=reason))
        metrics.FLEET_UNREACHABLE.set(len(self._checks.unreachable))

    def owners(self, repository: Repository, digest: Digest, size: int) -> dict[str, int] | None:
        """Count the pieces of a blob that each member which is reached asks upstream for; None where members do not exchange it.

        Members are told with their zones, where these are known.
        """
        if repository.registry not in self._exchanged:
            return None
        ring = self._membership.ring
        if lost := self._checks.unreachable:
            ring = Ring(set(ring.members).difference(lost), ring.us)
        counted = Counter(ring.at(start(str(digest), cut.number), 0) for cut in cuts(size))
        return {self._told(member): count for member, count in counted.items()}

    def document(self, limit: int) -> dict[str, object]:
        """Describe the fleet, and *limit* members: ourselves, then those that are not healthy."""
        self._total.add(self._ours.take())
        members = self._members()
        found = Counter(each.health for each in members)
        return {
            "us": self._membership.ring.us,
            "peers": self._membership.source,
            "trouble": self._membership.trouble,
            "counts": {health: found[health] for health in reversed(_WORST_FIRST)},
            "members": [asdict(each) for each in members[:limit]],
            "piece_cache": {"bytes": self._cache.size, "limit": self._cache.max_size},
        }

    def _told(self, member: str) -> str:
        zone = self._membership.zone_of.get(member)
        return f"{member} in {zone}" if zone else member

    def _note(self, members: frozenset[str]) -> None:
        joined, left = members - self._known, self._known - members
        self._known = members
        for message, those in (("members joined the fleet", joined), ("members left the fleet", left)):
            if those:
                _log.info(message, extra=fields(members=_named(those), fleet=len(members) + 1))
        if left:
            self._checks.retain(members)
            self._total.retain(members)

    def _members(self) -> list[MemberStatus]:
        ring = self._membership.ring
        suspected: dict[str, str] = {}
        for reasons in self._suspected():
            suspected |= reasons
        found = []
        for name, share in ring.shares().items():
            check, is_us = self._checks.of(name), name == ring.us
            reason = (check and check.reason) or suspected.get(name)
            health: Health = "healthy"
            if not is_us and check is None:
                health = "unknown"
            if reason is not None:
                health = "unreachable" if check and check.reason else "suspected"
            at = None if check is None else check.at
            found.append(
                MemberStatus(name, is_us, self._membership.zone_of.get(name) or None, health, reason, at, share, *self._total.of(name))
            )
        return sorted(found, key=lambda each: (not each.is_us, _WORST_FIRST.index(each.health), each.address))


def _named(members: Collection[str]) -> str:
    listed = sorted(members)
    more = len(listed) - _MAX_NAMED
    return ", ".join(listed[:_MAX_NAMED]) + (f" and {more} more" if more > 0 else "")
