"""The client whose own credential an upstream is asked with, as known to everything that is done for its sake.

A download that was begun for a client keeps its credential until it ends, and nothing else does.
"""

from contextvars import ContextVar
from dataclasses import dataclass

from regproxy.policy.credential import Credential


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks with *credential*; None: anybody, of whom nothing is shown."""

    credential: Credential | None = None


asker: ContextVar[Asker | None] = ContextVar("asker", default=None)
"""None: regproxy asks by itself, with its own credential."""
