"""May a repository still be read with our credentials: what upstream said last, and for how long that is believed.

A digest is served from the cache without a question, so a revocation has to reach it some other way: what upstream said of the repository
is believed for a while, and a refusal at once. An outage is no refusal.

Times are seconds since the epoch, for a record outlives restarts. One from the future, which a clock set back produces, is not believed.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TypeAlias

from regproxy.policy.freezing import covers, touches
from regproxy.policy.freshness import PullPolicy, TagPolicy


@dataclass(frozen=True, slots=True)
class Access:
    """What upstream said of a repository last; 0.0 stands for never."""

    confirmed_at: float = 0.0
    refused_at: float = 0.0
    reason: str = ""  # of the refusal
    is_imported: bool = False  # by an operator, so that upstream need not know of it

    @property
    def is_closed(self) -> bool:
        return 0.0 < self.refused_at >= self.confirmed_at


def is_offline(rules: Iterable[TagPolicy], name: str) -> bool:
    """Report whether *rules* keep a tag of the repository *name* from being asked for, and so what that tag needs."""
    for rule in rules:
        if rule.policy is PullPolicy.NEVER and touches(rule.match, name):
            return True
        if covers(rule.match, f"{name}:*"):
            return False
    return False


@dataclass(frozen=True, slots=True)
class Current:
    """Nothing has to be asked before content is served from the cache, *until* then."""

    until: float


@dataclass(frozen=True, slots=True)
class Expired:
    """Ask whether it may still be read; content is served unless upstream says no."""


@dataclass(frozen=True, slots=True)
class Closed:
    """Ask whether it may be read again; content is not served unless upstream says yes."""

    reason: str


Standing: TypeAlias = Current | Expired | Closed


def standing(access: Access, now: float, reconfirm_after: float) -> Standing:
    """Return what has to be asked before content of a repository is served from the cache."""
    if access.is_closed:
        return Closed(access.reason)
    if access.is_imported:
        return Current(math.inf)
    return Current(access.confirmed_at + reconfirm_after) if abs(now - access.confirmed_at) < reconfirm_after else Expired()


def confirmed(access: Access, asked_at: float, now: float) -> Access:
    """Record that upstream let the repository be read when it was *asked_at*; a refusal since then stands."""
    refused_at = 0.0 if access.refused_at > now else access.refused_at  # from the future
    confirmed_at = asked_at if access.confirmed_at > now else max(access.confirmed_at, asked_at)
    return replace(access, confirmed_at=confirmed_at, refused_at=refused_at)


def refused(access: Access, now: float, reason: str) -> Access:
    """Record that upstream refuses the repository *now*."""
    return replace(access, confirmed_at=min(access.confirmed_at, now), refused_at=now, reason=reason)


def imported(access: Access, now: float) -> Access:
    """Record that an operator puts content into the repository, whatever upstream has said of it before."""
    return replace(access, confirmed_at=now, refused_at=0.0, is_imported=True)
