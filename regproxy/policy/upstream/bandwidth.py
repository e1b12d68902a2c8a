"""How much of the site's line upstreams may take, by the time of day."""

from dataclasses import dataclass

from regproxy.policy.clients.token_bucket import Rate

MIN_RATE = 256 * 1024  # bytes a second; with less, downloads that share it would be taken for stalled ones
_BURST = 1.0  # seconds' worth that may come at once
_LARGEST_PART, _SMALLEST_PART = 64 * 1024, 4 * 1024  # bytes
_PARTS_A_SECOND = 16


@dataclass(frozen=True, slots=True)
class LineRate:
    """Bytes a second from each of *steps* on: minutes after midnight, in their order, and a rate, or None for no limit."""

    steps: tuple[tuple[int, int | None], ...]

    def at(self, minute: int) -> Rate | None:
        """Return what counts at a minute of the day: the last step that was reached, of the day before if need be."""
        reached = [rate for start, rate in self.steps if start <= minute]
        rate = (reached or [self.steps[-1][1]])[-1]
        return Rate(rate, rate * _BURST) if rate is not None else None


def part_size(rate: Rate) -> int:
    """Return of how many bytes one download takes its turn, so that many of them have theirs within seconds."""
    return int(max(_SMALLEST_PART, min(_LARGEST_PART, rate.per_second / _PARTS_A_SECOND)))
