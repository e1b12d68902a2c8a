"""Parts of blobs that clients wait for take precedence over fills that none waits for, without starving them."""

from dataclasses import dataclass

MAX_WAIT = 5.0  # seconds that a fill waits in a row
LINGER = 0.25  # seconds after a part: who reads one after another has asked for the next by then
_ENOUGH = 0.5  # of the time that parts may be first; with less left they are not: a fill that stops and goes all the time gains nothing


def max_wait(progress: float) -> float:
    """Return for how many seconds a fill may wait whose readers are left without a byte for *progress* seconds at most."""
    return min(MAX_WAIT, progress / 4)


@dataclass(slots=True)
class Precedence:
    """Whether parts are first, and for how many seconds more they may be: each second in which they are not brings one back."""

    limit: float
    left: float
    at: float
    are_first: bool = False

    def seconds(self, now: float, *, are_wanted: bool) -> float:
        """Return for how many seconds from *now* on a fill waits at most, where parts are wanted or not; 0: it proceeds."""
        elapsed, self.at = now - self.at, now
        self.left = max(self.left - elapsed, 0.0) if self.are_first else min(self.left + elapsed, self.limit)
        self.are_first = are_wanted and (self.left > 0 if self.are_first else self.left >= _ENOUGH * self.limit)
        return self.left if self.are_first else 0.0
