"""Is an object store worth asking while a client waits: one that fails is left alone for a while, and then tried by one request."""

from regproxy.policy.clock import MonotonicClock

_MAX_FAILURES = 3  # in a row
_RESTS_FOR = 15.0  # seconds


class Health:
    """How the last requests went."""

    def __init__(self, clock: MonotonicClock) -> None:
        """Begin well; *clock* returns seconds."""
        self._clock = clock
        self._failures = 0
        self._rests_until = 0.0
        self.trouble: str | None = None  # the last failure, while there was no success since

    def may_ask(self) -> bool:
        """Report whether to ask; where it rests, one in a while may."""
        if self._failures < _MAX_FAILURES:
            return True
        if self._clock() < self._rests_until:
            return False
        self._rests_until = self._clock() + _RESTS_FOR
        return True

    def answered(self) -> None:
        self._failures, self.trouble = 0, None

    def failed(self, reason: str) -> None:
        self._failures += 1
        self.trouble = reason
        if self._failures == _MAX_FAILURES:
            self._rests_until = self._clock() + _RESTS_FOR
