"""How far long work is."""

from collections.abc import Callable
from dataclasses import dataclass


def _nobody(_: "JobProgress") -> None:
    """Ignore progress."""


@dataclass(slots=True)
class JobProgress:
    """Bytes done of a total, reported as they advance."""

    tell: Callable[["JobProgress"], None] = _nobody
    total: int = 0
    done: int = 0

    def advance(self, count: int) -> None:
        self.done += count
        self.tell(self)
