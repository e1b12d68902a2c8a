"""How a cost grows: a line through points on logarithmic axes, where growth by a power is straight and its slope is that power."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

_LAST = 3  # points that say where it is heading: at small sizes what does not grow hides what does


@dataclass(frozen=True)
class Line:
    """A cost of *factor* times the size to the power of *slope*: 1 is in proportion, 0 is none."""

    slope: float
    factor: float

    @classmethod
    def through(cls, points: Sequence[tuple[float, float]]) -> Self:
        """Fit by least squares of the logarithms, at two or more sizes; what costs nothing is left out."""
        logarithms = [(math.log(size), math.log(cost)) for size, cost in points if size > 0 and cost > 0]
        if len({size for size, _ in logarithms}) < 2:
            raise ValueError(f"no line goes through {points}")
        middle = sum(size for size, _ in logarithms) / len(logarithms)
        mean = sum(cost for _, cost in logarithms) / len(logarithms)
        spread = sum((size - middle) ** 2 for size, _ in logarithms)
        slope = sum((size - middle) * (cost - mean) for size, cost in logarithms) / spread
        return cls(slope, math.exp(mean - slope * middle))

    @classmethod
    def at_the_end(cls, points: Sequence[tuple[float, float]]) -> Self:
        """Fit the largest sizes alone."""
        return cls.through(sorted(points)[-_LAST:])

    def at(self, size: float) -> float:
        return float(self.factor * size**self.slope)
