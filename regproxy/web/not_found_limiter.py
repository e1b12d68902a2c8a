"""Limits requests for unknown content: each unknown name costs a request upstream, which counts against all clients.

The cost is reserved before upstream is asked and refunded if the content exists, so that concurrent requests stay within the limit.
"""

import math
import time

from cachetools import LRUCache, TTLCache

from regproxy.oci import errors
from regproxy.oci.errors import RegistryError
from regproxy.policy.clients.token_bucket import Rate, TokenBucket
from regproxy.policy.clock import MonotonicClock

_CLIENTS = 10_000  # addresses in memory
_NAMES = 10_000  # known not to exist: a mistyped tag on a thousand nodes is one question
_REMEMBERED = 5.0  # seconds for which an answer holds that there is no such thing: who pushes it now has it in a moment


class NotFoundLimiter:
    """The token buckets of all clients."""

    def __init__(self, rate: Rate, clock: MonotonicClock = time.monotonic) -> None:
        self._rate = rate
        self._clock = clock
        self._buckets: LRUCache[str, TokenBucket] = LRUCache(_CLIENTS)
        self._names: TTLCache[str, None] = TTLCache(_NAMES, _REMEMBERED, clock)
        self._answers: TTLCache[str, RegistryError] = TTLCache(_NAMES, _REMEMBERED, clock)
        self._asked: dict[str, int] = {}  # names that are being asked for, and by how many

    def answer(self, name: str) -> RegistryError | None:
        """Return the answer to *name* that upstream gave a moment ago, if it was that there is no such thing."""
        known = self._answers.get(name)
        return known.detached() if known is not None else None

    def ask(self, client: str, name: str) -> "Reservation | RegistryError":
        """Reserve what a lookup costs a client, or return why it is not made; a name that is known or being looked up costs nothing."""
        now = self._clock()
        costs = name not in self._names and name not in self._asked
        if costs:
            bucket = self._buckets.setdefault(client, TokenBucket(self._rate.burst, now))
            if pause := bucket.pause(self._rate, now):
                message = "too many requests for unknown content; serving cached content only"
                return errors.unavailable(message, math.ceil(pause))
            bucket.spend(self._rate, now)
        self._asked[name] = self._asked.get(name, 0) + 1
        return Reservation(self, client, name, costs=costs)

    def settle(self, client: str, name: str, *, costs: bool, missing: bool, answer: RegistryError | None) -> None:
        """Record what became of a question; where it was not in vain, what it *costs* is given back.

        *answer* is to be given again for a moment.
        """
        left = self._asked.pop(name) - 1
        if left:
            self._asked[name] = left
        if missing:
            self._names[name] = None
            if answer is not None:
                self._answers[name] = answer.detached()
        elif costs and (bucket := self._buckets.get(client)) is not None:
            bucket.give_back(self._rate, self._clock())


class Reservation:
    """What one question may cost, until it is known whether it was in vain."""

    def __init__(self, questions: NotFoundLimiter, client: str, name: str, *, costs: bool) -> None:
        """Hold what `NotFoundLimiter.ask` reserved."""
        self._questions = questions
        self._client = client
        self._name = name
        self._costs = costs
        self._is_open = True

    def end(self, *, missing: bool = False, answer: RegistryError | None = None) -> None:
        """Record once whether there was no such content; later calls do not count."""
        if self._is_open:
            self._is_open = False
            self._questions.settle(self._client, self._name, costs=self._costs, missing=missing, answer=answer)

    def leave(self) -> None:
        """Refund nothing where the answer is open: a client that asks and leaves has asked."""
        self._costs = False
        self.end()
