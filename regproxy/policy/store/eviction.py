"""What goes first when room is short.

What goes is an image: a manifest that no kept manifest lists, and with it everything that nothing else needs. Images used once wait in a
queue of their own, apart from those used again on another occasion, and as long as that queue has more than its share, only it is
swept: a sweep of pulls that never come back cannot push out what is pulled every day (2Q, Johnson and Shasha, VLDB 1994). What a warm-up
brought counts as used once, when it came, and has no share of its own: it goes before anything that is used often.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from regproxy.oci.digest import Digest

OCCASION = 300.0  # seconds: uses closer together are one pull, or one rollout, and say nothing about the next
_ONCE_SHARE = 0.25  # of the store, for what was used once: 2Q's authors recommend a quarter
WARMING = "warm-up"  # who brings in images before anybody asks for them; quotas name clients otherwise
_FREE_RIDE = 16 * 1024 * 1024  # bytes that upstream sends in the time that asking it takes


@dataclass(frozen=True, slots=True)
class Candidate:
    """Something that nothing kept needs; *size* is what goes with it, in bytes."""

    digest: Digest
    size: int
    used_at: float


@dataclass(frozen=True, slots=True)
class RecentHistory:
    """What tags meant before and after they moved within *length* seconds of *now*: what a rollback may want."""

    now: float
    length: float


@dataclass(frozen=True, slots=True)
class Shares:
    """Bytes held by what was used once, and by what was used often."""

    once: int
    often: int


def sweeps_often_used(shares: Shares) -> bool:
    """Return which queue pays: the often used only where the others are already down to their share."""
    return shares.often > 0 and shares.once <= _ONCE_SHARE * (shares.once + shares.often)


def choose(candidates: Sequence[Candidate], excess: int, now: float, busy: Collection[Digest] = ()) -> Iterator[Candidate]:
    """Pick what goes until *excess* bytes are gone; nothing *busy*.

    The longest idle goes first, and of two equally idle the larger: a small image frees little, and costs almost as long to ask for again.
    """
    for candidate in sorted(candidates, key=lambda each: _worth(each, now)):
        if excess <= 0:
            return
        if candidate.digest not in busy:
            excess -= candidate.size
            yield candidate


def _worth(candidate: Candidate, now: float) -> float:
    idle = max(0.0, now - candidate.used_at)
    return -idle * candidate.size / (candidate.size + _FREE_RIDE)
