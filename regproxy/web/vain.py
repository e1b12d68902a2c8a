"""Clients that ask for what does not exist: each name costs a question upstream, and upstream counts them against all of us."""

import math
import time
from collections.abc import Callable

from cachetools import LRUCache

from regproxy.oci import errors
from regproxy.oci.errors import RegistryError
from regproxy.policy.allowance import Allowance, Rate

_CLIENTS = 10_000  # addresses in memory
_NAMES = 10_000  # that were asked for in vain: a mistyped tag on a thousand nodes is one question


class VainQuestions:
    """What each client has left of its allowance."""

    def __init__(self, rate: Rate, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._clock = clock
        self._allowances: LRUCache[str, Allowance] = LRUCache(_CLIENTS)
        self._names: LRUCache[str, None] = LRUCache(_NAMES)

    def refusal(self, client: str) -> RegistryError | None:
        """Say why nothing is asked of upstream for a client, if that is so."""
        allowance = self._allowances.get(client)
        pause = allowance.pause(self._rate, self._clock()) if allowance is not None else 0.0
        if not pause:
            return None
        return errors.unavailable("you asked for too much that does not exist: only what is cached is served to you", math.ceil(pause))

    def charge(self, client: str, name: str) -> None:
        """Learn that a client asked for *name*, and there is no such thing."""
        if name in self._names:
            return
        self._names[name] = None
        now = self._clock()
        self._allowances.setdefault(client, Allowance(self._rate.burst, now)).spend(self._rate, now)
