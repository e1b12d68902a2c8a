"""What an explanation consists of."""

from dataclasses import dataclass
from enum import Enum


class Mark(Enum):
    """How a step went."""

    GOOD = "good"
    NOTE = "note"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that was looked at."""

    about: str
    mark: Mark
    found: str
    advice: str | None = None
