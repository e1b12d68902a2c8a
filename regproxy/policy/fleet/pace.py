"""When a member that has accepted is left for another one, because it is dead or slow; seconds are the caller's.

A member that sends nothing may wait for upstream itself, or for one above it that does: then it says again and again that it is at work,
and nobody is hedged. One that says nothing either is left, however well it is otherwise. One that sends, but takes several times as long as
pieces usually do, is left, by its children before theirs.
"""

from dataclasses import dataclass
from enum import Enum

SILENCE = 1.0  # seconds without a sign: then a member stands still; for as long as it has for an answer it may do so
_SIGN = 4096  # bytes: fewer within that time are as good as none
_MAX_LOOK = 0.5  # seconds between two looks: if there are more, it is we who stood still
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
    SILENT = "it neither sends nor says that it is at work: ask it again or leave it"
    LEAVE = "it is much slower than others: leave it, if another member may do"
    GIVE_UP = "it is hopeless: leave it, even if upstream is all that is left"


@dataclass(slots=True)
class Usual:
    """Bytes per second of a piece, as usual; None before there was one."""

    rate: float | None = None

    def ended(self, count: int, seconds: float) -> None:
        rate = count / max(seconds, 1e-6)
        self.rate = rate if self.rate is None else self.rate + _NEWEST * (rate - self.rate)


@dataclass(slots=True)
class Spent:
    """Seconds that one member has had for one piece and was asked for the rest of it since: they are not given twice."""

    unbegun: float = 0.0  # without a first byte
    begun: float = 0.0


class Transfer:
    """One piece, or the rest of one, on its way from a member."""

    def __init__(self, now: float, size: int, level: int, usual: Usual, stall_timeout: float, spent: Spent) -> None:
        """Begin with *size* bytes to come, for a member at *level* of the tree that may be silent for *stall_timeout* seconds.

        It has *spent* some on this piece before.
        """
        self.count = 0
        self.has_waited = False  # whether the member said that it is at work
        self._size = size
        self._usual = usual
        self._grace = _GRACE + _GRACE_OF_A_LEVEL * level
        self._asked = now
        self._began: float | None = None  # with the first byte
        self._stall_timeout = stall_timeout
        self._spent = spent
        self._looked = now
        self._silent = 0.0  # seconds
        self._unnoticed = 0  # bytes since the last sign

    def received(self, count: int, now: float) -> None:
        self.count += count
        self._unnoticed += count
        if self._unnoticed >= _SIGN:
            self._silent, self._unnoticed = 0.0, 0
        if self._began is None:
            self._began = now

    def beat(self) -> None:
        """Record that the member says that it is at work."""
        self.has_waited = True
        self._silent = 0.0

    def stalled(self, now: float) -> None:
        """Record that no more of it comes, and what that took."""
        began = now if self._began is None else self._began
        self._spent.unbegun += began - self._asked
        self._spent.begun += now - began

    def ended(self, now: float) -> None:
        """Record that all of it came."""
        if self._began is not None:
            self._usual.ended(self.count, now - self._began)

    def judge(self, now: float) -> Verdict:
        """Look at how it does, at least every second."""
        self._silent += min(now - self._looked, _MAX_LOOK)
        self._looked = now
        if self._silent >= self._stall_timeout:
            return Verdict.SILENT
        if self._began is None:
            return Verdict.GIVE_UP if self._spent.unbegun + now - self._asked > _MAX_UNBEGUN else Verdict.WAIT
        elapsed = now - self._began
        hopeless = _HOPELESS * (self._grace + _LATE * self._size / (self._usual.rate or _PRESUMED))
        if self._spent.begun + elapsed > max(hopeless, _MIN_HOPELESS):
            return Verdict.GIVE_UP
        if self._silent >= SILENCE:
            return Verdict.WAIT  # whoever stands still may wait for upstream, and so would all others; that is found out first
        is_late = self._usual.rate is not None and elapsed > self._grace + _LATE * self._size / self._usual.rate
        return Verdict.LEAVE if is_late else Verdict.WAIT
