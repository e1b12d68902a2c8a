"""What a tag meant, and since when that is known: kept short without forgetting what a cooldown needs.

Times are when a meaning was first seen by us or by another replica, never what an image says of itself. A time from the future, which a
clock set back produces, is corrected to the time of the next answer.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf, nextafter

from regproxy.oci.digest import Digest

MAX_MEANINGS = 100  # of a tag
_LAST_MEANINGS = 20  # that stay whatever goes: what a person looks for


@dataclass(frozen=True, slots=True)
class PastMeaning:
    """What upstream said a tag means, and when that was seen first, in epoch seconds; no *digest*: that there is no such tag."""

    digest: Digest | None
    since: float


History = tuple[PastMeaning, ...]  # the first meaning first


def known_since(history: Iterable[PastMeaning], digest: Digest) -> float:
    """Return when the tag was first seen to mean *digest*, whatever it meant in between."""
    return min(each.since for each in history if each.digest == digest)


def deleted_since(history: History, now: float) -> float:
    """Return since when upstream has no such tag; *now* where it had one when it was asked last."""
    return history[-1].since if history and history[-1].digest is None else now


def remembered(
    history: History, others: Iterable[PastMeaning], digest: Digest | None, now: float, cooldown: float = 0.0, most: int = MAX_MEANINGS
) -> History:
    """Return *history* with what *others* have seen, and with what upstream says now; at most so many meanings.

    No meaning goes that a *cooldown* of so many seconds may want served.
    """
    seen = {PastMeaning(each.digest, min(each.since, now)): None for each in (*history, *others)}
    found = _joined(sorted(seen, key=lambda each: each.since))
    if not found or found[-1].digest != digest:
        at = now
        while PastMeaning(digest, at) in seen:
            at = nextafter(at, inf)  # it moved and moved back within a moment
        found.append(PastMeaning(digest, at))
    while len(found) > most:
        del found[_surplus(found, now - cooldown)]
        found = _joined(found)
    return tuple(found)


def _joined(history: Sequence[PastMeaning]) -> list[PastMeaning]:
    """Drop what says again what the one before said."""
    return [*history[:1], *(each for before, each in pairwise(history) if each.digest != before.digest)]


def _surplus(history: Sequence[PastMeaning], long_ago: float) -> int:
    """Return which meaning goes: one that a tag had before and after, so that one which flaps forgets nothing else; else the oldest.

    The oldest stays while it may be what a cooldown serves: while no other was known *long_ago*. Then one of those in between goes that
    lie closest together. The last ones stay.
    """
    digests = [each.digest for each in history]
    for place, digest in enumerate(digests[:-1]):
        if digest in digests[:place] and digest in digests[place + 1 :]:
            return place
    if history[1].since <= long_ago:
        return 0
    gaps = {place: history[place + 1].since - history[place - 1].since for place in range(1, len(history) - _LAST_MEANINGS)}
    return min(gaps, key=lambda place: gaps[place], default=1)
