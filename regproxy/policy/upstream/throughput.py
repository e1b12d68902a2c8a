"""How fast a body comes, look after look; only the time spent waiting for its sender counts, not what we take ourselves."""

from dataclasses import dataclass

LOOK = 1.0  # seconds; what is measured in less is a burst or a pause
BESIDE_OTHERS = 5.0  # seconds of a trickle; where somebody else can send the rest, asking costs one request


def slow_timeout(configured: float, *, has_others: bool) -> float:
    """Return for how many seconds in a row a trickle is borne."""
    return min(configured, BESIDE_OTHERS) if has_others else configured


@dataclass(slots=True)
class Throughput:
    """Bytes and seconds of the current interval, and for how long the intervals before it were too slow without a break."""

    min_rate: int  # bytes per second
    count: int = 0
    seconds: float = 0.0
    slow_for: float = 0.0

    def received(self, count: int, seconds: float) -> None:
        """Record that *count* bytes came after *seconds* of waiting."""
        self.count += count
        self.seconds += seconds

    @property
    def is_over(self) -> bool:
        return self.seconds >= LOOK

    def look(self) -> None:
        """Judge what came, and begin anew."""
        is_slow = self.count < self.min_rate * self.seconds
        self.slow_for = self.slow_for + self.seconds if is_slow else 0.0
        self.count, self.seconds = 0, 0.0
