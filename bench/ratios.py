"""Ratios of measurements that were taken in pairs, one right after the other, so that a machine whose speed drifts is unfair to neither."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from math import comb
from typing import Self

_OUTSIDE = 0.05  # probability that the median lies outside of the interval


@dataclass(frozen=True)
class Ratio:
    """The median of some ratios, and the interval in which the true one lies with 95 % (all of them, where they are few)."""

    median: float
    low: float
    high: float
    pairs: int

    @classmethod
    def of(cls, ratios: Sequence[float]) -> Self:
        """Summarize *ratios*, of which there is at least one; whatever their distribution is."""
        ordered = sorted(ratios)
        left_out = _left_out(len(ordered))
        return cls(statistics.median(ordered), ordered[left_out], ordered[-1 - left_out], len(ordered))

    @property
    def is_noise(self) -> bool:
        """Report whether both may be equal, as far as the pairs can tell."""
        return self.low <= 1.0 <= self.high

    def __str__(self) -> str:
        return f"{self.median:.3f} ({self.low:.3f} to {self.high:.3f}, {self.pairs} pairs)"


def _left_out(count: int) -> int:
    """Return how many ratios on either side the interval does not need: so many heads or fewer, of *count* coins, are improbable enough."""
    probability, left_out = 0.0, 0
    for heads in range(count // 2):
        probability += comb(count, heads) / 2**count
        if 2 * probability > _OUTSIDE:
            break
        left_out = heads
    return left_out
