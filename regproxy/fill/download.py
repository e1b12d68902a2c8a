"""A blob on its way here, in order and whole, whatever happens to those who send it.

Its pieces are fetched side by side as the plan says. What is ahead of its turn waits where it is stored, or in memory until it can be;
parts that clients wait for, and others fetch ahead of their turn, wait there too. What the digest says of all this is not known here.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial

from regproxy.fill.part import Ahead
from regproxy.fill.passed_parts import First, Pauses
from regproxy.fill.piece import PieceDownload, least
from regproxy.fill.source import Sender, Source
from regproxy.fill.spill import AHEAD, Spill
from regproxy.notify import Notifier
from regproxy.oci.digest import Digest
from regproxy.oci.reference import Repository
from regproxy.policy.store.runs import Runs
from regproxy.policy.upstream.plan import FIRST, LOOK, NEXT, WINDOW, Piece, Plan, Stage
from regproxy.ports import BlobBody, StoreError, Unavailable


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
        self.handed = start  # what is on its way there
        self.received = 0  # in order
        self.is_ranged = True  # whether what came first is what was asked for, and not the whole
        self.source = Source(sender, repository, digest)
        self._connections = connections
        self._stall_timeout = stall_timeout
        self._ahead = ahead
        self._pauses = Pauses(first, self._paused)
        self._first_body: tuple[BlobBody, ...] = ()
        self.has_begun = False
        self.notifier = Notifier()
        self._ahead_of_turn: Ahead | None = None
        self._plan: Plan | None = None
        self._pieces: deque[PieceDownload | Piece] = deque()  # in their order; a `Piece` is fetched ahead of its turn by others
        self.spill = Spill(self.notifier, self._pieces)
        self._tasks: dict[PieceDownload, asyncio.Task[None]] = {}

    @property
    def size(self) -> int | None:
        return self.source.size

    @property
    def is_untrusted(self) -> bool:
        """Whether who answered first, or anybody who has sent something, has not yet sent anything right."""
        return any(each.is_untrusted for each in (*self._first_body, *(part.body for part in self.source.segments)))

    def go_around(self, ahead: Ahead) -> None:
        """Fetch nothing that is fetched ahead of its turn, and let that begin first."""
        self._ahead_of_turn = ahead

    async def begin(self) -> None:
        """Wait for the first answer; raise `UpstreamError`."""
        while self._ahead_of_turn is not None and self._ahead_of_turn.is_busy and not self.has_begun:
            await self.notifier.wait()
        if self.has_begun:
            return
        is_one = self._ahead is not None or self.source.is_near  # a second connection would take as much memory again
        stop = self.stop if is_one else least(self.start + FIRST, self.stop)
        first = self._launch(self.start, least(stop, part.start if (part := self._part(self.start)) else None))
        while not self.has_begun:
            first.check()
            await self.notifier.wait()

    async def run(self, put: Callable[[bytes], Awaitable[None]]) -> None:
        """Pass all bytes to *put*, in order, and `begin` where that was not done; raise `UpstreamError`, or what *put* raises."""
        await self.begin()
        while await self._has_more():
            piece = self._pieces[0]
            if isinstance(piece, Piece):
                await self._pass(piece, put)
            elif (chunk := await self._next(piece)) is not None:
                self.handed += len(chunk)
                await put(chunk)
                self._extend()
                continue
            elif piece is self._pieces[0]:
                self._pieces.popleft()
            self._extend()
            self._judge()

    async def _pass(self, piece: Piece, put: Callable[[bytes], Awaitable[None]]) -> None:
        """Read what was fetched ahead of its turn; what nobody fetches any more, fetch in order."""
        position, ahead = piece.start, self._ahead_of_turn
        while position < piece.stop and ahead is not None and (chunk := await ahead.read(position, piece.stop)) is not None:
            position += len(chunk)
            self.handed = position
            await put(chunk)
            self._extend()
        self._pieces.popleft()
        if position < piece.stop:
            part = self._part(position)
            stop = piece.stop if part is None else min(piece.stop, part.start)
            if stop < piece.stop:
                self._pieces.appendleft(Piece(stop, piece.stop, is_here=True))
            self._launch(position, stop, is_next=True)

    async def close(self) -> None:
        self._plan = None  # nothing more is begun
        await self.spill.close()
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def advance(self, count: int) -> None:
        """Record that bytes are on disk: there is room for others."""
        self.front += count
        self._extend()
        self.notifier.tell()

    def is_front(self, piece: PieceDownload) -> bool:
        return bool(self._pieces) and piece is self._pieces[0]

    def due(self, piece: PieceDownload) -> float | None:
        if (plan := self._plan) is None or piece.stop is None or not self.is_front(piece):
            return None
        now, plan.has_others = asyncio.get_running_loop().time(), self.source.has_others
        beside = [found for each in self._tasks if each is not piece and (found := each.transfer(now)) is not None]
        return plan.due(piece.asked_at, piece.stop - piece.asked_from, beside)

    def began(self, piece: PieceDownload, body: BlobBody) -> None:
        """Record from the first answer how long it all is."""
        if not self.has_begun:
            self.is_ranged = body.start == self.start
            is_as_asked = body.stop is not None and (piece.asked_to is None or body.stop <= piece.asked_to)
            part = self._part(piece.reached)  # also what sends the whole for a part of it is left where others fetch
            piece.stop = least(piece.stop if is_as_asked else None, self.stop, body.size, body.stop, part.start if part else None)
            self.began_ahead(body)
        elif body.start < piece.reached and self._plan is not None:
            self._plan.go_alone()  # who sends the whole for a part sends it for each
            self._take_over(piece)
        self.notifier.tell()

    def _take_over(self, piece: PieceDownload) -> None:
        """Have the front piece, for which the whole is sent, bring what follows it, too, as long as nothing of that came."""
        while self.is_front(piece) and len(self._pieces) > 1 and (after := self._pieces[1]) in self._tasks and after.reached == after.start:
            piece.stop = after.stop
            self._tasks[after].cancel()
            del self._pieces[1]

    def began_ahead(self, body: BlobBody) -> None:
        """Record it from the first answer about a part that is fetched ahead of its turn."""
        if self.has_begun:
            return
        self.has_begun = True
        self.stop = least(self.stop, body.size)
        self._first_body = (body,)
        first = self._pieces[0] if self._pieces else None
        plan = partial(Plan, most=self._connections, answer=self.source.answered_in, has_others=self.source.has_others)
        if first is None and self.stop is not None:
            self._plan = plan(self.stop, self.start, first=self.stop if self.source.is_near else FIRST)
        elif isinstance(first, PieceDownload) and self.stop is not None:
            first.stop = least(first.stop, self.stop)
            self._plan = plan(self.stop, first.end)
        if self._plan is not None:
            asyncio.get_running_loop().call_later(LOOK, self._look)
            self._extend()
        self.notifier.tell()

    def leave(self, start: int, stop: int, *, may_wait: bool) -> Runs:
        """Return which of these bytes nobody fetches in order, or not soon enough for a client, who *may_wait* for a moment.

        The pieces that they lie in are cut short; what comes after them is fetched when it is its turn.
        """
        left = Runs([(max(start, self.handed), stop)])
        soon = NEXT if self._plan is None else self._plan.soon(asyncio.get_running_loop().time())
        for at, piece in reversed(list(enumerate(self._pieces))):
            if isinstance(piece, Piece):
                continue
            begin, end = max(start, piece.reached), piece.end
            is_late = begin - piece.reached > (WINDOW if may_wait else soon) or not piece.is_asked
            if begin < min(end, stop) and is_late:
                piece.stop = begin
                if self._plan is not None and end == self._plan.offset:
                    self._plan.offset = begin
                elif self._plan is not None:
                    self._pieces.insert(at + 1, Piece(begin, end, is_here=True))
            left.remove(piece.start, piece.end)
        return left

    def _part(self, start: int) -> Piece | None:
        """Return what is the first to be fetched ahead of its turn, from *start* on."""
        if self._ahead_of_turn is None:
            return None
        claims = self._ahead_of_turn.claims
        begin = start if claims.reach(start) > start else claims.following(start)
        return None if begin is None else Piece(begin, claims.reach(begin), is_here=True)

    def arrived(self, count: int) -> None:
        self.received += count
        if self._plan is not None:
            self._plan.received(count, asyncio.get_running_loop().time())
            self._extend()

    def gives_way(self) -> bool:
        return self._pauses.are_due()

    async def passed(self) -> None:
        await self._pauses.over()

    def _paused(self, seconds: float) -> None:
        if self._plan is not None:
            self._plan.waited(seconds)

    def _look(self) -> None:
        """Watch the clock while there is only the first piece: one that stalls brings nothing that would."""
        if self._plan is not None and self._plan.stage is Stage.FIRST:
            if not self._pauses.are_on:
                self.arrived(0)
            asyncio.get_running_loop().call_later(LOOK, self._look)

    async def _has_more(self) -> bool:
        """Wait where all pieces that were begun are read: the next one begins when the end of one is noticed."""
        while not self._pieces and self._plan is not None and not self._plan.is_exhausted:
            await self.notifier.wait()
        return bool(self._pieces)

    async def _next(self, piece: PieceDownload) -> bytes | None:
        """Wait for the next bytes of a piece; None at its end, or where what was on the disk is lost, and fetched again before it."""
        try:
            if (stored := await self.spill.read(piece, self.handed)) is not None:
                return stored
        except StoreError:
            self._launch(self.handed, self.spill.lost(piece), is_next=True)
            return None
        try:
            async with asyncio.timeout(self._stall_timeout):
                while (chunk := piece.take()) is None and not piece.is_over:
                    piece.check()
                    await self.notifier.wait()
        except TimeoutError as error:
            raise Unavailable(f"nobody sent a byte of {self.source.digest} for {self._stall_timeout:g} s", timed_out=True) from error
        return chunk

    def _extend(self) -> None:
        """Begin what the plan wants begun: one piece where nobody reads all, or parts that clients wait for would come behind many."""
        if (plan := self._plan) is None:
            return
        plan.is_alone = plan.width > 1 and self._pauses.may_come()
        plan.is_on_disk = plan.width > 1 and self.spill.begin()
        while (piece := plan.take(self.front, len(self._tasks), self._part(plan.offset), coming=self._coming)) is not None:
            if piece.is_here:
                self._pieces.append(piece)
            else:
                self._launch(piece.start, piece.stop)
        if len(self._pieces) > 1:
            self.spill.begin()  # also beside a first piece that is soon over: what came is lost where we are killed

    @property
    def _coming(self) -> int:
        return sum(piece.end - piece.reached for piece in self._tasks)

    def _launch(self, start: int, stop: int | None, *, is_next: bool = False) -> PieceDownload:
        ahead = AHEAD if self._plan is not None and self._plan.is_on_disk else self._ahead
        piece = PieceDownload(self.source, self, self.notifier, start, stop, ahead)
        (self._pieces.appendleft if is_next else self._pieces.append)(piece)
        task = self._tasks[piece] = asyncio.create_task(piece.fetch(), name=f"{piece} of {self.source.digest}")
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
        self.notifier.tell()

    def _judge(self) -> None:
        """Fetch the front piece elsewhere if it takes too long: every follower waits for it."""
        if self._pieces and isinstance(self._pieces[0], PieceDownload):
            self._pieces[0].judge()
