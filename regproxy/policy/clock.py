"""Two kinds of clock, which must not be mixed."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeAlias

WallClock: TypeAlias = Callable[[], float]  # seconds since the epoch; comparable between processes and replicas, may jump
MonotonicClock: TypeAlias = Callable[[], float]  # seconds since some moment; of this machine alone, never goes back


def utc(moment: float) -> str:
    """Write a moment, in epoch seconds, for people."""
    try:
        return datetime.fromtimestamp(moment, UTC).isoformat(sep=" ", timespec="seconds").replace("+00:00", " UTC")
    except (OverflowError, ValueError):
        return "never"
