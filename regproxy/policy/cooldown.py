"""What a tag is served as while it cools down: the newest meaning that has been known for so long.

A tag that moves back to what it meant before means that at once: it was known when it was first seen to mean it. The first meaning of a
tag is served at once too, unless the rule refuses it.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

from regproxy.oci.digest import Digest
from regproxy.policy.freshness import TagPolicy
from regproxy.policy.tag_history import PastMeaning, known_since

_MAX_OLDER = 2  # meanings that are tried where the one to be served is not to be had


@dataclass(frozen=True, slots=True)
class Served:
    """Serve *digest*, until then in epoch seconds; *newer* is what waits, *older* what was known before it."""

    digest: Digest
    until: float = math.inf
    newer: Digest | None = None
    older: tuple[Digest, ...] = ()


@dataclass(frozen=True, slots=True)
class CoolingDown:
    """Serve nothing *until* then: all that is known is *newer* than the rule wants it."""

    newer: Digest
    until: float


Choice: TypeAlias = Served | CoolingDown


def choose(history: Iterable[PastMeaning], rule: TagPolicy, now: float) -> Choice | None:
    """Choose from *history*, the first meaning first, what a tag is served as; None where it never meant anything."""
    known = list(history)
    digests = list(dict.fromkeys(each.digest for each in reversed(known) if each.digest is not None))  # the last meaning first
    if not digests:
        return None
    if not rule.cooldown:
        return Served(digests[0])
    ends = {digest: known_since(known, digest) + rule.cooldown for digest in digests}
    old_enough = [digest for digest in digests if ends[digest] <= now]
    if not old_enough and rule.refuses_first:
        return CoolingDown(digests[0], min(ends.values()))
    chosen = old_enough[0] if old_enough else next(each.digest for each in known if each.digest is not None)
    waiting = digests[: digests.index(chosen)]
    until = min((ends[digest] for digest in waiting), default=math.inf)
    return Served(chosen, until, digests[0] if waiting else None, tuple(old_enough[1 : 1 + _MAX_OLDER]))
