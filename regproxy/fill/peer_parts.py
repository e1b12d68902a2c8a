"""Parts that clients of this process wait for, of a blob that another process of this machine copies: that one brings them."""

import asyncio

from regproxy.fill.fill import Fill
from regproxy.fill.part import Want
from regproxy.ports import Full, PeerIngest

_MAX_WAIT = 3.0  # seconds for the first byte of a part, where nothing comes meanwhile; then it is fetched by itself
_MAX_WAITS = 4  # where something else does: the line is slow


class PeerParts:
    """Asks another process for parts (port Bringer)."""

    def __init__(self, fill: Fill, elsewhere: PeerIngest) -> None:
        """Ask the process behind *elsewhere*, whose copy *fill* follows."""
        self._fill = fill
        self._elsewhere = elsewhere
        self._waiting: dict[Want, asyncio.TimerHandle] = {}
        self._moves = 0

    def take(self, want: Want) -> None:
        want.error = None
        if self._elsewhere.want_part(want.start, want.stop):
            self._wait(want, _MAX_WAITS)
        else:
            self._refuse(want)

    def moved(self) -> None:
        """Record that the copy goes on."""
        self._moves += 1

    def leave(self, want: Want) -> None:
        if (timer := self._waiting.pop(want, None)) is not None:
            timer.cancel()

    def close(self) -> None:
        """Wait for nothing any more."""
        for want in list(self._waiting):
            self.leave(want)

    def _wait(self, want: Want, times: int) -> None:
        self._waiting[want] = asyncio.get_running_loop().call_later(_MAX_WAIT, self._look, want, times - 1, self._moves)

    def _look(self, want: Want, times: int, moves: int) -> None:
        del self._waiting[want]
        if self._fill.reaches(want.start):
            return
        if times and self._moves > moves:
            self._wait(want, times)
        else:
            self._refuse(want)

    def _refuse(self, want: Want) -> None:
        want.error = Full("the process that copies it does not bring it ahead of its turn")
        self._fill.tell()
