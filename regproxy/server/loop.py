"""An event loop that does a little at a time.

asyncio's asks the kernel for all that has happened and deals with all of it in one turn: where ten thousand clients leave at once,
everybody else waits for seconds. The kernel keeps what it was not asked for, and tells of it in turn.

It knows how late it was: a timer that wakes often enough to find out costs an idle process half of what it needs.
"""

import asyncio
import math
import select
import selectors
import time

_AT_ONCE = 128  # events in one turn; each may cost a few tenths of a millisecond


class _Sparing(selectors.EpollSelector):
    """Tells of a few events at a time, and notes how late; else it is `selectors.EpollSelector`."""

    _selector: select.epoll

    def __init__(self) -> None:
        super().__init__()
        self.lag = 0.0  # seconds; the longest turn between two calls, or what a call took longer than it was to wait
        self._since = math.inf

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        seconds = -1.0 if timeout is None else max(0.0, math.ceil(timeout * 1000) / 1000)
        asked = time.monotonic()
        events = self._selector.poll(seconds, _AT_ONCE)
        now = time.monotonic()
        overslept = 0.0 if seconds < 0 else now - asked - seconds
        self.lag = max(self.lag, asked - self._since, overslept)
        self._since = now
        found = []
        for descriptor, event in events:
            wanted = (selectors.EVENT_WRITE if event & ~select.EPOLLIN else 0) | (selectors.EVENT_READ if event & ~select.EPOLLOUT else 0)
            key = self.get_map()[descriptor]
            found.append((key, wanted & key.events))
        return found


class SparingLoop(asyncio.SelectorEventLoop):
    """A loop that does a little at a time."""

    def __init__(self) -> None:
        self._sparing = _Sparing()
        super().__init__(self._sparing)

    def take_lag(self) -> float:
        """Return how many seconds it stood still at worst since the last call: everybody waited for so long."""
        lag, self._sparing.lag = self._sparing.lag, 0.0
        return lag


def new_loop() -> asyncio.AbstractEventLoop:
    """Make one, for `asyncio.Runner`."""
    return SparingLoop()
