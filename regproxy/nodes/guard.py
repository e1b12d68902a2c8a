"""When a node's runtime is configured to use the cache, and when that is withdrawn; a plain decision."""

from dataclasses import dataclass
from enum import Enum


class Step(Enum):
    """What is to be done to a node's configuration."""

    APPLY = "apply"
    UNDO = "undo"
    NOTHING = "nothing"


@dataclass(slots=True)
class NodeGuard:
    """Decides by what the cache answers: written with its first answer, withdrawn after *silence* seconds without one.

    What an earlier process left on the node is not known: *is_applied* is None until something has been done.
    """

    silence: float
    answered_at: float
    is_applied: bool | None = None

    def step(self, now: float, *, has_answered: bool) -> Step:
        """Return what is to be done at the monotonic time *now*."""
        if has_answered:
            self.answered_at = now
            return Step.NOTHING if self.is_applied else Step.APPLY
        is_silent = now - self.answered_at >= self.silence
        return Step.UNDO if is_silent and self.is_applied is not False else Step.NOTHING

    def done(self, step: Step) -> None:
        """Record that *step* succeeded; without this it is decided again."""
        if step is not Step.NOTHING:
            self.is_applied = step is Step.APPLY
