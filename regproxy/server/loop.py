"""An event loop that does a little at a time.

asyncio's asks the kernel for all that has happened and deals with all of it in one turn: where ten thousand clients leave at once,
everybody else waits for seconds. The kernel keeps what it was not asked for, and tells of it in turn.
"""

import asyncio
import math
import select
import selectors

_AT_ONCE = 128  # events in one turn; each may cost a few tenths of a millisecond


class _Sparing(selectors.EpollSelector):
    """Tells of a few events at a time; `selectors.EpollSelector` but for the bound."""

    _selector: select.epoll

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        seconds = -1.0 if timeout is None else max(0.0, math.ceil(timeout * 1000) / 1000)
        found = []
        for descriptor, event in self._selector.poll(seconds, _AT_ONCE):
            wanted = (selectors.EVENT_WRITE if event & ~select.EPOLLIN else 0) | (selectors.EVENT_READ if event & ~select.EPOLLOUT else 0)
            key = self.get_map()[descriptor]
            found.append((key, wanted & key.events))
        return found


def new_loop() -> asyncio.AbstractEventLoop:
    """Make one, for `asyncio.Runner`."""
    return asyncio.SelectorEventLoop(_Sparing())
