"""An allowance that is spent, and grows again at a rate: questions to upstream that were in vain, or bytes that a client was sent."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rate:
    """So many a second, after so many at once."""

    per_second: float
    burst: float


@dataclass(slots=True)
class TokenBucket:
    """What one client has left, as of a moment."""

    left: float
    at: float

    def spend(self, rate: Rate, now: float) -> None:
        """Spend one; the balance never falls below zero."""
        self.left = max(self._grown(rate, now) - 1, -1.0)
        self.at = now

    def owe(self, rate: Rate, now: float, amount: float) -> float:
        """Spend *amount*, also what there is not yet, and return in how many seconds it will be there: who comes later waits longer."""
        self.left = self._grown(rate, now) - amount
        self.at = now
        return max(0.0, -self.left / rate.per_second)

    def give_back(self, rate: Rate, now: float, amount: float = 1) -> None:
        """Refund what was spent on what turned out to cost nothing."""
        self.left = min(self._grown(rate, now) + amount, rate.burst)
        self.at = now

    def pause(self, rate: Rate, now: float) -> float:
        """Return in how many seconds one more is allowed; 0 is now."""
        return max(0.0, (1 - self._grown(rate, now)) / rate.per_second)

    def _grown(self, rate: Rate, now: float) -> float:
        return min(self.left + (now - self.at) * rate.per_second, rate.burst)
