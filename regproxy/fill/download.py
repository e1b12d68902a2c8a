"""A blob on its way here, in order and whole, whatever happens to those who send it.

Its pieces are fetched side by side as the plan says. What is ahead of its turn waits in memory. What the digest says of all this is
not known here.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Protocol

from regproxy.fill.piece import PieceDownload
from regproxy.fill.source import ReceivedRange, Sender, Source
from regproxy.notify import Notifier
from regproxy.oci.digest import Digest
from regproxy.oci.reference import Repository
from regproxy.policy.upstream.plan import FIRST, LOOK, Plan, Stage
from regproxy.ports import BlobBody, Unavailable, UpstreamError, detached


class First(Protocol):
    """Those who go first."""

    def holds(self) -> bool:
        """Whether there are some."""

    async def passed(self) -> None:
        """Wait until there are none, or for as long as is bearable."""


class Download:
    """Fetches the bytes of one blob, from *start* to *stop* or to its end (Order)."""

    def __init__(
        self,
        sender: Sender,
        repository: Repository,
        digest: Digest,
        start: int = 0,
        stop: int | None = None,
        *,
        connections: int = 1,
        stall_timeout: float,
        ahead: int | None = None,
        first: First | None = None,
    ) -> None:
        """Use at most so many connections, and leave those who wait no longer than *stall_timeout* seconds without a byte.

        With *ahead*, about three times as many bytes of each connection wait in memory at most. Let those go *first* who do.
        """
        self.start = start
        self.stop = stop
        self.front = start  # what is on disk
        self.is_ranged = True  # whether what came first is what was asked for, and not the whole
        self._source = Source(sender, repository, digest)
        self._connections = connections
        self._stall_timeout = stall_timeout
        self._ahead = ahead
        self._first = first
        self._waiting = 0  # pieces that let others go first
        self._waiting_since = 0.0
        self.is_untrusted = False  # the first answer
        self._has_begun = False
        self._plan: Plan | None = None
        self._notifier = Notifier()
        self._pieces: deque[PieceDownload] = deque()
        self._tasks: dict[PieceDownload, asyncio.Task[None]] = {}

    @property
    def size(self) -> int | None:
        return self._source.size

    @property
    def segments(self) -> Sequence[ReceivedRange]:
        return self._source.segments

    async def begin(self) -> None:
        """Wait for the first answer; raise `UpstreamError`."""
        is_one = self._ahead is not None or self._source.is_near  # a second connection would take as much memory again
        stop = self.stop if is_one else _least(self.start + FIRST, self.stop)
        first = self._launch(self.start, stop)
        while not self._has_begun:
            _raise_failure(first)
            await self._notifier.wait()

    async def run(self, put: Callable[[bytes], Awaitable[None]]) -> None:
        """Pass all bytes to *put*, in order, and `begin` where that was not done; raise `UpstreamError`, or what *put* raises."""
        if not self._has_begun:
            await self.begin()
        while await self._has_more():
            piece = self._pieces[0]
            while (chunk := await self._next(piece)) is not None:
                await put(chunk)
                self._extend()
            self._pieces.popleft()
            self._extend()
            self._judge()

    async def close(self) -> None:
        self._plan = None  # nothing more is begun
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def advance(self, count: int) -> None:
        """Record that bytes are on disk: there is room for others."""
        self.front += count
        self._extend()
        self._notifier.tell()

    def is_front(self, piece: PieceDownload) -> bool:
        return bool(self._pieces) and piece is self._pieces[0]

    def due(self, piece: PieceDownload) -> float | None:
        if self._plan is None or piece.stop is None or not self.is_front(piece):
            return None
        return self._plan.due(piece.asked_at, piece.stop - piece.asked_from)

    def began(self, piece: PieceDownload, body: BlobBody) -> None:
        """Record from the first answer how long it all is."""
        if not self._has_begun:
            self._has_begun = True
            self.stop = _least(self.stop, body.size)
            self.is_ranged = body.start == self.start
            self.is_untrusted = body.is_untrusted
            piece.stop = _least(self.stop, body.stop)
            if self.stop is not None and piece.stop is not None:
                self._plan = Plan(self.stop, piece.stop, self._connections)
                asyncio.get_running_loop().call_later(LOOK, self._look)
        self._notifier.tell()

    def arrived(self, count: int) -> None:
        if self._plan is not None:
            self._plan.received(count, asyncio.get_running_loop().time())
            self._extend()

    def gives_way(self) -> bool:
        return self._first is not None and self._first.holds()

    async def passed(self) -> None:
        if self._first is None:
            return
        if not self._waiting:
            self._waiting_since = asyncio.get_running_loop().time()
        self._waiting += 1
        try:
            await self._first.passed()
        finally:
            self._waiting -= 1
            if not self._waiting and self._plan is not None:
                self._plan.waited(asyncio.get_running_loop().time() - self._waiting_since)

    def _look(self) -> None:
        """Watch the clock while there is only the first piece: one that stalls brings nothing that would."""
        if self._plan is not None and self._plan.stage is Stage.FIRST:
            if not self._waiting:
                self.arrived(0)
            asyncio.get_running_loop().call_later(LOOK, self._look)

    async def _has_more(self) -> bool:
        """Wait where all pieces that were begun are read: the next one begins when the end of one is noticed."""
        while not self._pieces and self._plan is not None and not self._plan.is_exhausted:
            await self._notifier.wait()
        return bool(self._pieces)

    async def _next(self, piece: PieceDownload) -> bytes | None:
        """Wait for the next bytes of a piece; None at its end."""
        try:
            async with asyncio.timeout(self._stall_timeout):
                while (chunk := piece.take()) is None and not piece.is_whole:
                    _raise_failure(piece)
                    await self._notifier.wait()
        except TimeoutError as error:
            raise Unavailable(f"nobody sent a byte of {self._source.digest} for {self._stall_timeout:g} s", timed_out=True) from error
        return chunk

    def _extend(self) -> None:
        """Begin what the plan wants begun."""
        while self._plan is not None and (piece := self._plan.take(self.front, len(self._tasks))) is not None:
            self._launch(piece.start, piece.stop)

    def _launch(self, start: int, stop: int | None) -> PieceDownload:
        piece = PieceDownload(self._source, self, self._notifier, start, stop, self._ahead)
        self._pieces.append(piece)
        task = self._tasks[piece] = asyncio.create_task(piece.fetch(), name=f"{piece} of {self._source.digest}")
        task.add_done_callback(partial(self._ended, piece))
        return piece

    def _ended(self, piece: PieceDownload, task: asyncio.Task[None]) -> None:
        del self._tasks[piece]
        if not task.cancelled():
            piece.error = task.exception() or piece.error
        if self._plan is not None and piece.is_whole:
            self._plan.ended(piece.reached - piece.asked_from, asyncio.get_running_loop().time() - piece.asked_at)
        self._extend()
        self._judge()
        self._notifier.tell()

    def _judge(self) -> None:
        """Fetch the front piece elsewhere if it takes too long: every follower waits for it."""
        if self._pieces:
            self._pieces[0].judge()


def _raise_failure(piece: PieceDownload) -> None:
    if isinstance(piece.error, UpstreamError):
        raise detached(piece.error)
    if piece.error is not None:
        raise piece.error


def _least(*bounds: int | None) -> int | None:
    return min((bound for bound in bounds if bound is not None), default=None)
