"""Two kinds of clock, which must not be mixed."""

from collections.abc import Callable
from typing import TypeAlias

WallClock: TypeAlias = Callable[[], float]  # seconds since the epoch; comparable between processes and replicas, may jump
MonotonicClock: TypeAlias = Callable[[], float]  # seconds since some moment; of this machine alone, never goes back
