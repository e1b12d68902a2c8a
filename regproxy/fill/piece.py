"""A part of a blob being downloaded: where it breaks it is resumed, at the host that is best then."""

import asyncio
import random
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import aclosing, contextmanager
from typing import Protocol

from regproxy.fill.source import Late, ReceivedRange, Source
from regproxy.notify import Notifier
from regproxy.policy.upstream import failover
from regproxy.policy.upstream.plan import Transfer
from regproxy.ports import BlobBody, Unavailable, UpstreamError, detached

_AHEAD = 4 * 1024 * 1024  # bytes that a piece may be ahead of the disk, where nothing else bounds it
_LOOK = 1.0  # seconds between two looks at whether it is late


class Order(Protocol):
    """What a piece has to know of the others, and they of it."""

    def is_front(self, piece: "PieceDownload") -> bool:
        """Whether it is the one that everybody waits for."""

    def due(self, piece: "PieceDownload") -> float | None:
        """When, on the loop's clock, it is to be requested from another host; None: no other is better."""

    def began(self, piece: "PieceDownload", body: BlobBody) -> None:
        """Record that a host answers."""

    def arrived(self, count: int) -> None:
        """Record that bytes came."""

    def gives_way(self) -> bool:
        """Whether others go first."""

    async def passed(self) -> None:
        """Wait until others have gone first."""


class PieceDownload:
    """The bytes received, and those not yet taken."""

    def __init__(self, source: Source, order: Order, notifier: Notifier, start: int, stop: int | None, ahead: int | None) -> None:
        """Ask nothing yet; without *stop* it goes to wherever its sender ends. About *ahead* bytes of it wait in memory, twice."""
        self.start = start
        self.stop = stop
        self.asked_to = stop  # which may be more than is wanted by now
        self.reached = start
        self.asked_at = 0.0  # when its present sender began
        self.asked_from = start
        self.is_asked = False  # whether upstream was asked for it: what was asked for is on its way, and lost where it is not taken
        self.is_whole = False
        self.error: BaseException | None = None
        self.segments = source.segments  # where it says who sent what
        self._ahead = ahead
        self._source = source
        self._order = order
        self._notifier = notifier
        self._unread: deque[bytes] = deque()
        self._unread_bytes = 0
        self._deadline: asyncio.Timeout | None = None
        self._judging: asyncio.TimerHandle | None = None
        self._arrived_at = 0.0
        self._is_held = False  # by us
        self._last: str | None = None  # who was late with it

    def __repr__(self) -> str:
        return f"<PieceDownload {self.start}-{self.stop} at {self.reached}>"

    @property
    def end(self) -> int:
        """Where it ends, as far as that is known."""
        return sys.maxsize if self.stop is None else self.stop

    @property
    def waiting(self) -> int:
        """How many bytes came and were not taken."""
        return self._unread_bytes

    @property
    def is_over(self) -> bool:
        """Whether nothing more comes: it is whole, or was made shorter than that."""
        return self.is_whole or (self.stop is not None and self.reached >= self.stop)

    def check(self) -> None:
        """Raise the error that ended it."""
        if isinstance(self.error, UpstreamError):
            raise detached(self.error)
        if self.error is not None:
            raise self.error

    def take(self) -> bytes | None:
        """Return what came and was not taken; None where that is nothing."""
        if not self._unread:
            return None
        chunk = self._unread.popleft()
        self._unread_bytes -= len(chunk)
        self._notifier.tell()
        return chunk

    def take_all(self) -> list[bytes]:
        """Return all that came and was not taken."""
        chunks, self._unread_bytes = list(self._unread), 0
        self._unread.clear()
        if chunks:
            self._notifier.tell()
        return chunks

    def put_back(self, chunks: Sequence[bytes]) -> None:
        """Undo that *chunks* were taken."""
        self._unread.extendleft(reversed(chunks))
        self._unread_bytes += sum(map(len, chunks))
        self._notifier.tell()

    def judge(self) -> None:
        """Leave its host if it is due by now, else judge it again by then: others may have become slow, or silent, meanwhile."""
        self._rest()
        if self._deadline is None or self._deadline.expired() or self._is_held:  # its task may have yet to hear of it
            return
        if (due := self._order.due(self)) is None:
            return
        loop = asyncio.get_running_loop()
        if due <= (now := loop.time()):
            self._deadline.reschedule(due)
        else:
            self._judging = loop.call_at(min(due, now + _LOOK), self.judge)

    def _rest(self) -> None:
        if self._judging is not None:
            self._judging.cancel()
            self._judging = None

    def transfer(self, now: float) -> Transfer | None:
        """Return how its present host sends it; None where that tells nothing, because none does, or we hold it, or it sends the whole."""
        if self._deadline is None or self._is_held:
            return None
        return Transfer(self.reached - self.asked_from, now - self.asked_at, now - self._arrived_at)

    async def fetch(self) -> None:
        """Bring all of it, from whomever, or leave the error that ends it."""
        futile = 0
        while not self.is_whole:
            before = self.reached
            try:
                await self._fetch_some()
            except UpstreamError as error:
                futile = 0 if self.reached > before else futile + 1
                if not self._source.may_go_on(futile):
                    self.error = detached(error)
                    return
                self._source.tell_resume(self.reached, error)
                await asyncio.sleep(failover.pause(futile, random.random()))  # noqa: S311 -- jitter

    async def _fetch_some(self) -> None:
        """Receive what one host sends of it; raise `UpstreamError` where that is not all."""
        await self._give_way(None)
        if self.is_over:
            self.is_whole = True
            return
        self.is_asked = True
        async with self._source.body(self.reached, self.stop, self._last) as body:
            self._order.began(self, body)
            if body.start == self.reached or self._order.is_front(self):
                await self._receive_in_time(body)
                return
        while not self._order.is_front(self):
            await self._notifier.wait()  # to have the whole sent for a part of it is worth it only when nothing else helps

    async def _receive_in_time(self, body: BlobBody) -> None:
        self.asked_at = self._arrived_at = asyncio.get_running_loop().time()
        self.asked_from = self.reached
        try:
            async with asyncio.timeout(None) as deadline:
                # Who sends the whole for a part has more to send than others: no reason to leave it.
                self._deadline = deadline if body.start == self.reached else None
                self.judge()
                await self._receive(body)
        except TimeoutError as error:
            self._last = str(body)
            raise Late(f"{body} takes much longer for its part than others") from error
        finally:
            self._deadline = None
            self._rest()
            if self.reached > self.asked_from or self.is_whole:  # who says that this is all is answerable for that
                self.segments.append(ReceivedRange(self.asked_from, self.reached, body))

    async def _receive(self, body: BlobBody) -> None:
        position = body.start
        async with aclosing(body.chunks(self._ahead)) as chunks:
            async for chunk in chunks:
                fresh = chunk[max(self.reached - position, 0) :]  # the part we have is passed over; even so it is a sign of life
                position += len(chunk)
                if self.stop is not None:
                    fresh = fresh[: max(self.stop - self.reached, 0)]
                await self._arrived(fresh)
                if not self.is_over:
                    await self._give_way(body)
                if self.is_over:
                    break
        if self.stop is not None and self.reached < self.stop:
            raise Unavailable(f"{body} stopped {self.stop - self.reached} bytes short")
        self.is_whole = True

    async def _give_way(self, body: BlobBody | None) -> None:
        """Pause while others take precedence."""
        if not self._order.gives_way():
            return
        if body is not None:
            body.pause()
        with self._holding():
            await self._order.passed()

    @contextmanager
    def _holding(self) -> Iterator[None]:
        """Have the time meanwhile not count against the host."""
        self._is_held, began = True, asyncio.get_running_loop().time()
        self.judge()
        try:
            yield
        finally:
            self._is_held = False
        self.asked_at += asyncio.get_running_loop().time() - began
        self.judge()

    async def _arrived(self, chunk: bytes) -> None:
        self._arrived_at = asyncio.get_running_loop().time()
        self.reached += len(chunk)
        self._unread.append(chunk)
        self._unread_bytes += len(chunk)
        self._order.arrived(len(chunk))
        self._notifier.tell()
        if self._unread_bytes > (self._ahead or _AHEAD):
            with self._holding():
                while self._unread_bytes > (self._ahead or _AHEAD):
                    await self._notifier.wait()


def least(*bounds: int | None) -> int | None:
    """Return the first of some bounds, as far as they are known."""
    return min((bound for bound in bounds if bound is not None), default=None)
