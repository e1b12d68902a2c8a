"""A blob on its way here, in order and whole, whatever happens to those who send it.

Its pieces are fetched side by side as the plan says; each goes on from where it broke, at whichever host is best then. What is ahead of
its turn waits in memory. What the digest says of all this is not known here, but who sent which bytes is.
"""

import asyncio
import logging
import random
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial

from regproxy import metrics
from regproxy.log import fields
from regproxy.oci.digest import Digest
from regproxy.oci.reference import Repository
from regproxy.policy import failover
from regproxy.policy.plan import FIRST, Plan
from regproxy.ports import BlobBody, Corrupt, Registry, Unavailable, UpstreamError

_AHEAD = 4 * 1024 * 1024  # bytes that a piece may be ahead of the disk, where nothing else bounds it
_MOST_FUTILE = 5  # attempts in a row that bring nothing; with their pauses about as long as a client is made to wait

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Segment:
    """Bytes *start* to *stop*, and who sent them."""

    start: int
    stop: int
    body: BlobBody


@dataclass(slots=True, eq=False)
class Stretch:
    """A piece on its way: what has come of it, and what of that nobody has taken yet."""

    reached: int
    stop: int | None  # None: wherever its sender ends
    is_first: bool = False
    is_whole: bool = False
    unread: deque[bytes] = field(default_factory=deque)
    unread_bytes: int = 0
    error: BaseException | None = None


class Download:
    """Fetches the bytes of one blob, from *start* to *stop* or to its end."""

    def __init__(
        self,
        registry: Registry,
        repository: Repository,
        digest: Digest,
        start: int = 0,
        stop: int | None = None,
        *,
        connections: int = 1,
        patience: float,
    ) -> None:
        """Use at most so many connections, and leave those who wait no longer than *patience* seconds without a byte."""
        self._registry = registry
        self._repository = repository
        self._digest = digest
        self.start = start
        self.stop = stop
        self.is_ranged = True  # whether what came first is what was asked for, and not the whole
        self._connections = connections
        self._patience = patience
        self._plan: Plan | None = None
        self._stretches: deque[Stretch] = deque([Stretch(start, stop if registry.is_near else _least(start + FIRST, stop), is_first=True)])
        self._tasks: dict[Stretch, asyncio.Task[None]] = {}
        self._news = asyncio.Event()
        self._is_known = False
        self.front = start  # what is on disk
        self.size: int | None = None
        self.segments: list[Segment] = []

    async def begin(self) -> None:
        """Wait for the first answer; raise `UpstreamError`."""
        self._launch(self._stretches[0])
        while not self._is_known:
            self._raise_failure(self._stretches[0])
            await self._changed()

    async def run(self, put: Callable[[bytes], Awaitable[None]]) -> None:
        """Give all bytes to *put*, in order; raise `UpstreamError`, or what *put* raises."""
        while await self._has_more():
            stretch = self._stretches[0]
            while (chunk := await self._next(stretch)) is not None:
                await put(chunk)
                self._extend()
            self._stretches.popleft()
            self._extend()

    async def close(self) -> None:
        self._plan = None  # nothing more is begun
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def advance(self, count: int) -> None:
        """Note that bytes are on disk: there is room for others."""
        self.front += count
        self._extend()
        self._tell()

    async def _has_more(self) -> bool:
        """Wait where all pieces that were begun are read: the next one begins when the end of one is noticed."""
        while not self._stretches and self._plan is not None and not self._plan.is_exhausted:
            await self._changed()
        return bool(self._stretches)

    async def _next(self, stretch: Stretch) -> bytes | None:
        try:
            async with asyncio.timeout(self._patience):
                while not stretch.unread:
                    if stretch.is_whole:
                        return None
                    self._raise_failure(stretch)
                    await self._changed()
        except TimeoutError as error:
            raise Unavailable(f"nobody sent a byte of {self._digest} for {self._patience:g} s", timed_out=True) from error
        chunk = stretch.unread.popleft()
        stretch.unread_bytes -= len(chunk)
        self._tell()
        return chunk

    def _raise_failure(self, stretch: Stretch) -> None:
        if stretch.error is not None:
            raise stretch.error

    def _extend(self) -> None:
        """Begin what the plan wants begun."""
        while self._plan is not None and (piece := self._plan.take(self.front, len(self._tasks))) is not None:
            stretch = Stretch(piece.start, piece.stop)
            self._stretches.append(stretch)
            self._launch(stretch)

    def _launch(self, stretch: Stretch) -> None:
        task = self._tasks[stretch] = asyncio.create_task(self._fetch(stretch), name=f"piece at {stretch.reached} of {self._digest}")
        task.add_done_callback(partial(self._ended, stretch))

    def _ended(self, stretch: Stretch, task: asyncio.Task[None]) -> None:
        del self._tasks[stretch]
        if not task.cancelled():
            stretch.error = task.exception() or stretch.error
        if stretch.is_first and self._plan is not None:
            self._plan.finish()
        self._extend()
        self._tell()

    async def _fetch(self, stretch: Stretch) -> None:
        """Bring a stretch whole, from whomever, or leave the error that ends it."""
        futile = 0
        while not stretch.is_whole:
            before = stretch.reached
            try:
                await self._fetch_some(stretch)
            except UpstreamError as error:
                futile = 0 if stretch.reached > before else futile + 1
                if not self._is_known or futile >= _MOST_FUTILE or (futile and not self._registry.may_repeat()):
                    stretch.error = error
                    return
                self._tell_resume(stretch, error)
                await asyncio.sleep(failover.pause(futile, random.random()))  # noqa: S311 -- jitter

    async def _fetch_some(self, stretch: Stretch) -> None:
        """Receive what one host sends of a stretch; raise `UpstreamError` where that is not all."""
        async with self._registry.blob(self._repository, self._digest, stretch.reached, stretch.stop) as body:
            self._learn(stretch, body)
            began = stretch.reached
            try:
                await self._receive(stretch, body)
            finally:
                if stretch.reached > began:
                    self.segments.append(Segment(began, stretch.reached, body))

    async def _receive(self, stretch: Stretch, body: BlobBody) -> None:
        position = body.start
        while position < stretch.reached and stretch is not self._stretches[0]:
            await self._changed()  # to have the whole sent for a part of it is worth it only when nothing else helps
        async for chunk in body.chunks():
            fresh = chunk[max(stretch.reached - position, 0) :]  # the part we have is passed over; even so it is a sign of life
            position += len(chunk)
            if stretch.stop is not None:
                fresh = fresh[: stretch.stop - stretch.reached]
            await self._arrived(stretch, fresh)
            if stretch.reached == stretch.stop:
                break
        if stretch.stop is not None and stretch.reached < stretch.stop:
            raise Unavailable(f"{body} stopped {stretch.stop - stretch.reached} bytes short")
        stretch.is_whole = True

    async def _arrived(self, stretch: Stretch, chunk: bytes) -> None:
        stretch.reached += len(chunk)
        stretch.unread.append(chunk)
        stretch.unread_bytes += len(chunk)
        if self._plan is not None:
            self._plan.received(len(chunk), asyncio.get_running_loop().time())
            self._extend()
        self._tell()
        while stretch.unread_bytes > _AHEAD:
            await self._changed()

    def _learn(self, stretch: Stretch, body: BlobBody) -> None:
        """Take the size from the first answer, and hold all others to it."""
        if not self._is_known:
            self._is_known = True
            self.size = body.size
            self.stop = _least(self.stop, body.size)
            self.is_ranged = body.start == self.start
            stretch.stop = _least(self.stop, body.stop)
            if self.stop is not None and stretch.stop is not None:
                self._plan = Plan(self.stop, stretch.stop, self._connections)
            self._tell()
        elif body.size != self.size and None not in (body.size, self.size):
            body.suspect()
            raise Corrupt(f"{body} says that {self._digest} has {body.size} bytes, others said {self.size}")

    def _tell_resume(self, stretch: Stretch, error: UpstreamError) -> None:
        reason = _reason(error)
        metrics.RESUMES.labels(reason).inc()
        _log.info(
            "resuming",
            extra=fields(
                repository=str(self._repository), digest=str(self._digest), offset=stretch.reached, reason=reason, error=str(error)
            ),
        )

    async def _changed(self) -> None:
        await self._news.wait()

    def _tell(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()


def _least(*bounds: int | None) -> int | None:
    return min((bound for bound in bounds if bound is not None), default=None)


def _reason(error: UpstreamError) -> str:
    if isinstance(error, Unavailable):
        return "silence" if error.timed_out else "broken"
    return type(error).__name__.lower()
