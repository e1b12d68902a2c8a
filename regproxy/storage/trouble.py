"""Why the store takes nothing right now: logged once a minute, shown by the readiness probe, over with the next blob that is stored."""

import logging
import time

from regproxy.policy.clock import MonotonicClock
from regproxy.ports import Oversized, StoreError
from regproxy.telemetry import metrics
from regproxy.telemetry.log import fields

_EVERY = 60.0  # seconds between two lines of log: a full disk is no news at each pull

_log = logging.getLogger(__name__)
_begun: set["Trouble"] = set()  # of all stores in this process


class Trouble:
    """The last reason why something was not kept, until something is kept again."""

    def __init__(self, clock: MonotonicClock = time.monotonic) -> None:
        """Start without trouble; *clock* counts the seconds between two log lines."""
        self.reason: str | None = None
        self._clock = clock
        self._told_at: float | None = None

    def begin(self, error: StoreError) -> None:
        """Record that something was not kept; what is larger than the whole store, or is said to be, is no trouble of the store."""
        metrics.NOT_KEPT.inc()
        if isinstance(error, Oversized):
            _log.warning("passed through without keeping it", extra=fields(reason=str(error)))
            return
        self.reason = str(error)
        _begun.add(self)
        metrics.STORE_REFUSING.set(1)
        if self._told_at is None or self._clock() - self._told_at >= _EVERY:
            self._told_at = self._clock()
            _log.error("the store takes nothing: pulls go on from upstream", extra=fields(reason=self.reason))

    def end(self) -> None:
        if self.reason is not None:
            _log.info("the store takes content again")
        self.forget()

    def forget(self) -> None:
        """End without a word, where nothing is going to be kept any more."""
        if self.reason is not None:
            _begun.discard(self)
            metrics.STORE_REFUSING.set(bool(_begun))
        self.reason = None
