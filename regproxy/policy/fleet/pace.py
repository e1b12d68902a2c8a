"""When a member that has accepted is left for another one, because it is dead or slow; seconds are the caller's.

A member that sends nothing may wait for upstream itself. So it is asked whether it lives; as long as it does, nobody is hedged, and
whoever stands above it looks after itself. One that sends, but takes several times as long as pieces usually do, is left, by its children
before theirs.
"""

from dataclasses import dataclass
from enum import Enum

HEAD = 1.0  # seconds in which a member accepts or not: that costs it nothing
SILENCE = 1.0  # seconds without a byte, after which it is asked whether it lives
_GRACE = 1.0  # seconds: less is a hiccup
_GRACE_OF_A_LEVEL = 0.5  # more for each level of the tree: the one above is to find out first, and then both are well
_LATE = 4.0  # times as long as usual
_HOPELESS = 5.0  # times as long as what is late
_MIN_HOPELESS = 20.0  # seconds: upstream is asked again for what comes after all
_MAX_UNBEGUN = 120.0  # seconds without a first byte, however alive: who asks upstream has an answer sooner, or gives up
_PRESUMED = 256 * 1024  # bytes per second, before anything is usual
_NEWEST = 0.3  # what the newest piece weighs in what is usual


class Verdict(Enum):
    """What to do about a member that is waited for."""

    WAIT = "it does as expected"
    PROBE = "it is silent: ask whether it lives"
    LEAVE = "it is much slower than others: leave it, if another member may do"
    GIVE_UP = "it is hopeless: leave it, even if upstream is all that is left"


@dataclass(slots=True)
class Usual:
    """Bytes per second of a piece, as usual; None before there was one."""

    rate: float | None = None

    def ended(self, count: int, seconds: float) -> None:
        rate = count / max(seconds, 1e-6)
        self.rate = rate if self.rate is None else self.rate + _NEWEST * (rate - self.rate)


class Transfer:
    """One piece, or the rest of one, on its way from a member."""

    def __init__(self, now: float, size: int, level: int, usual: Usual) -> None:
        """Begin with *size* bytes to come, for a member at *level* of the tree."""
        self.count = 0
        self._size = size
        self._usual = usual
        self._grace = _GRACE + _GRACE_OF_A_LEVEL * level
        self._asked = now
        self._began: float | None = None  # with the first byte
        self._heard = now

    def received(self, count: int, now: float) -> None:
        self.count += count
        self._heard = now
        if self._began is None:
            self._began = now

    def lives(self, now: float) -> None:
        """Record that the member answered when it was asked whether it lives."""
        self._heard = now

    def ended(self, now: float) -> None:
        """Record that all of it came."""
        if self._began is not None:
            self._usual.ended(self.count, now - self._began)

    def judge(self, now: float) -> Verdict:
        if now - self._heard >= SILENCE:
            return Verdict.PROBE
        if self._began is None:
            return Verdict.GIVE_UP if now - self._asked > _MAX_UNBEGUN else Verdict.WAIT
        elapsed = now - self._began
        hopeless = _HOPELESS * (self._grace + _LATE * self._size / (self._usual.rate or _PRESUMED))
        if elapsed > max(hopeless, _MIN_HOPELESS):
            return Verdict.GIVE_UP
        is_late = self._usual.rate is not None and elapsed > self._grace + _LATE * self._size / self._usual.rate
        return Verdict.LEAVE if is_late else Verdict.WAIT
