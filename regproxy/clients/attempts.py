"""What clients try in vain: each address may do so often at once, and more by and by.

Only what was in vain counts, so that those who are right share no fate with others behind the same address until somebody there is not.
"""

import math
import time

from cachetools import LRUCache

from regproxy.oci import errors
from regproxy.policy.clients.token_bucket import Rate, TokenBucket
from regproxy.policy.clock import MonotonicClock

_MAX_ADDRESSES = 10_000


class Attempts:
    """The attempts that addresses have left."""

    def __init__(self, rate: Rate, message: str, clock: MonotonicClock = time.monotonic) -> None:
        """Allow attempts at *rate*; beyond that *message* is the answer."""
        self._rate = rate
        self._message = message
        self._clock = clock
        self._buckets: LRUCache[str, TokenBucket] = LRUCache(_MAX_ADDRESSES)

    def check(self, address: str) -> None:
        """Raise `RegistryError` where no attempt is left."""
        bucket = self._buckets.get(address)
        if bucket is not None and (pause := bucket.pause(self._rate, self._clock())):
            raise errors.unavailable(self._message, math.ceil(pause))

    def charge(self, address: str) -> None:
        """Record that an attempt was in vain."""
        now = self._clock()
        self._buckets.setdefault(address, TokenBucket(self._rate.burst, now)).spend(self._rate, now)
