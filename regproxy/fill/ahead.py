"""The parts of a blob that clients wait for, fetched ahead of their turn into where they belong.

They are pieces of the fill: the download goes around them, and whoever wants bytes that are on their way waits for those.
"""

import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from contextvars import copy_context
from dataclasses import replace
from functools import partial

from regproxy.fill.download import Download
from regproxy.fill.fill import Fill
from regproxy.fill.part import Want
from regproxy.fill.piece import PieceDownload, least
from regproxy.fill.spill import write_ahead
from regproxy.policy.store.runs import Runs
from regproxy.policy.upstream.plan import FIRST
from regproxy.ports import BlobBody, Full, Ingest, Resumable, StoredBytes, StoreError, Unavailable, UpstreamError, detached
from regproxy.telemetry.log import fields

_AHEAD = 256 * 1024  # bytes of each that wait in memory, three times at most
_READ = 1024 * 1024
_IN_ORDER_TIMEOUT = 0.5  # seconds that a client waits for what was asked for in order: what is left then is sent in vain
_MAX_EXTENSIONS = 4  # times that, where it comes
_LOOK = 0.02  # seconds between two looks at what other processes want
_MAX_WANTS = 128  # at once for each fill, those of other processes included

_log = logging.getLogger(__name__)


class _Flight:
    """What is fetched for one want."""

    def __init__(self, left: Runs) -> None:
        """Begin with *left*, of which nothing is written."""
        self.left = left
        self.piece: PieceDownload | None = None  # which fetches the first of it

    def leave(self, start: int, stop: int, *, may_wait: bool) -> Sequence[tuple[int, int]]:
        """Return which of these bytes it leaves to whoever waits for them, because it does not come to them soon."""
        piece, wanted = self.piece, Runs(self.left)
        if piece is not None:
            begin, end = max(start, piece.reached), max(piece.stop or 0, piece.reached)
            if not may_wait and begin - piece.reached > FIRST and begin < min(end, stop):
                piece.stop = end = begin
            wanted.remove(0, end)
        wanted.remove(0, start)
        wanted.remove(stop, sys.maxsize)
        for begin, end in wanted:
            self.left.remove(begin, end)
        return list(wanted)


class _InOrderTimeout:
    """For how long a client waits for what was asked for in order: longer where that comes."""

    def __init__(self, download: Download) -> None:
        self._download = download
        self._received = download.received
        self._until = asyncio.get_running_loop().time() + _IN_ORDER_TIMEOUT
        self._times = _MAX_EXTENSIONS

    def left(self) -> float:
        """Return for how many seconds more."""
        now = asyncio.get_running_loop().time()
        if now >= self._until and self._times and self._download.received > self._received:
            self._times, self._until, self._received = self._times - 1, now + _IN_ORDER_TIMEOUT, self._download.received
        return max(self._until - now, 0.0)


class PartDownloads:
    """Fetches parts beside a download that goes around them (ports Ahead, Bringer and Order)."""

    def __init__(
        self,
        fill: Fill,
        download: Download,
        resumed: Resumable,
        stall_timeout: float,
        elsewhere: Callable[[], Sequence[tuple[int, int]]] | None,
    ) -> None:
        """Fetch nothing yet; what is *resumed* is there. *elsewhere* lists what other processes want since it was called last."""
        self.claims = Runs(resumed.parts)
        self._fill = fill
        self._download = download
        self._stall_timeout = stall_timeout
        self._elsewhere = elsewhere
        self._ingest: Ingest | None = None
        self._is_ranged = True
        self._tasks: dict[Want, asyncio.Task[None]] = {}
        self._waiting: set[Want] = set()  # those that others bring
        self._flights: list[_Flight] = []
        self._context = copy_context()  # whoever began the fill is who asks upstream for it

    @property
    def is_busy(self) -> bool:
        return len(self._tasks) > len(self._waiting)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Fetch what is wanted, meanwhile."""
        self._download.go_around(self)
        looking = asyncio.create_task(self._look(self._elsewhere), name=f"parts of {self._fill.digest}") if self._elsewhere else None
        try:
            self._fill.bring_by(self)
            yield
        finally:
            self._fill.bring_by(None)
            tasks = [*self._tasks.values(), *([looking] if looking else [])]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def open(self, ingest: Ingest) -> None:
        """Write into *ingest* from now on, and have parts read from there."""
        if (size := self._download.size) is not None:
            self._ingest = ingest
            self._fill.scatter(ingest, size)
        self._download.notifier.tell()

    def take(self, want: Want) -> None:
        if len(self._tasks) >= _MAX_WANTS:
            want.error = Full("too many parts are being fetched")
            return
        task = self._tasks[want] = asyncio.create_task(self._brought(want), name=f"{want}", context=self._context.copy())
        task.add_done_callback(partial(self._ended, want))

    def leave(self, want: Want) -> None:
        if (task := self._tasks.get(want)) is not None:
            task.cancel()

    def _ended(self, want: Want, _: asyncio.Task[None]) -> None:
        self._tasks.pop(want, None)
        self._waiting.discard(want)
        self._download.notifier.tell()

    async def read(self, start: int, stop: int) -> StoredBytes | None:
        try:
            async with asyncio.timeout(self._stall_timeout):
                while self._ingest is None or (reached := self._ingest.reach(start)) <= start:
                    if self.claims.reach(start) <= start:
                        return None
                    await self._download.notifier.wait()
        except TimeoutError as error:
            raise Unavailable(f"nobody sent a byte of {self._fill.digest} for {self._stall_timeout:g} s", timed_out=True) from error
        try:
            return await self._ingest.read(start, min(reached, stop, start + _READ))
        except StoreError:
            self.claims.remove(start, min(reached, stop))  # and no more: what is behind may be on its way
            return None

    def is_front(self, piece: PieceDownload) -> bool:  # noqa: ARG002
        return False

    def due(self, piece: PieceDownload) -> float | None:
        """Ask no other host: there is nothing to compare it with."""

    def began(self, piece: PieceDownload, body: BlobBody) -> None:
        if body.start != piece.reached:
            self._is_ranged = False  # all of it comes, and the download knows what to do with that
        elif body.size is None and self._download.size is None:  # who sends it in order may know how long it is
            self._is_ranged, self._download.source.has_answered = False, self._download.has_begun
        else:
            piece.stop = least(piece.stop, body.stop, body.size)
            self._download.began_ahead(body)
        self._download.notifier.tell()

    def arrived(self, count: int) -> None:
        """Leave the plan alone: it is about what is fetched in order."""

    def gives_way(self) -> bool:
        return False

    async def passed(self) -> None:
        """Wait for nobody."""

    async def _look(self, elsewhere: Callable[[], Sequence[tuple[int, int]]]) -> None:
        """Bring what other processes want, for ever."""
        while True:
            for start, stop in elsewhere():
                self._fill.want(want := Want(start, stop))
                if want in self._tasks:
                    self._tasks[want].add_done_callback(partial(self._unwanted, want))
                else:
                    self._fill.unwant(want)
            await asyncio.sleep(_LOOK)

    def _unwanted(self, want: Want, _: asyncio.Task[None]) -> None:
        self._fill.unwant(want)

    async def _brought(self, want: Want) -> None:
        """Bring all of *want*, or leave the error that keeps it from coming."""
        want.error = None
        timeout = _InOrderTimeout(self._download)
        try:
            while not self._is_here(want):
                left = timeout.left()
                gaps = self._gaps(want, may_wait=left > 0)
                if gaps:
                    self._waiting.discard(want)
                    await self._fetched(gaps)
                    continue
                if want not in self._waiting:
                    self._waiting.add(want)
                    self._download.notifier.tell()
                with suppress(TimeoutError):
                    async with asyncio.timeout(left or None):
                        await self._download.notifier.wait()
        except (UpstreamError, StoreError) as error:
            want.error = detached(error)
        except TimeoutError:
            want.error = Unavailable(f"nobody sent a byte of {want} for {self._stall_timeout:g} s", timed_out=True)
        except Exception as error:
            _log.exception("fetching a part failed: internal error", extra=fields(fill=repr(self._fill), part=repr(want)))
            want.error = Unavailable(type(error).__name__)
        finally:
            self._fill.tell()

    def _stop(self, want: Want) -> int:
        return want.stop if self._download.stop is None else min(want.stop, self._download.stop)

    def _is_here(self, want: Want) -> bool:
        if self._ingest is None and self._download.has_begun and self._download.size is None:
            raise Full("nobody knows how long it is")
        if self._ingest is None:
            return False
        if not self._ingest.can_scatter and self._ingest.reach(want.start) < self._stop(want):
            raise Full("the store takes nothing ahead of its turn")
        return self._ingest.reach(want.start) >= self._stop(want)

    def _gaps(self, want: Want, *, may_wait: bool) -> list[tuple[int, int]]:
        """List what of *want* nobody fetches in time, and have nobody else fetch it."""
        for flight in self._flights:
            for start, stop in flight.leave(want.start, self._stop(want), may_wait=may_wait):
                self.claims.remove(start, stop)
        unclaimed = Runs(self.claims.gaps(max(want.start, self._download.handed), self._stop(want)))
        gaps = [left for start, stop in unclaimed for left in self._download.leave(start, stop, may_wait=may_wait)]
        self._fill.wait_in_order(want, is_in_order=unclaimed.total > Runs(gaps).total)
        return gaps

    async def _fetched(self, gaps: Sequence[tuple[int, int]]) -> None:
        """Fetch *gaps*, one after the other; nobody else does meanwhile."""
        flight = _Flight(Runs(gaps))
        for start, stop in gaps:
            self.claims.add(start, stop)
        self._flights.append(flight)
        try:
            while (bounds := next(iter(flight.left), None)) is not None:
                await self._fetch(flight, *bounds)
        finally:
            self._flights.remove(flight)
            for start, stop in flight.left:
                self.claims.remove(start, stop)

    async def _fetch(self, flight: _Flight, start: int, stop: int) -> None:
        """Fetch a part, and count what was written as no longer left; raise `UpstreamError`, `StoreError` or `TimeoutError`."""
        source, notifier, position = self._download.source, self._download.notifier, start
        piece = flight.piece = PieceDownload(source, self, notifier, start, stop, _AHEAD)
        piece.segments = []
        fetching = asyncio.create_task(piece.fetch(), name=f"{piece} of {self._fill.digest}")
        fetching.add_done_callback(lambda _: notifier.tell())
        try:
            while (chunks := piece.take_all()) or not fetching.done() or not self._is_ranged:
                if not self._is_ranged:
                    raise Unavailable(f"upstream sends no parts of {self._fill.digest}")
                if chunks:
                    was_left = await write_ahead(await self._opened(), position, chunks)
                    position += sum(map(len, chunks))
                    flight.left.remove(start, position)
                    self._fill.tell()
                    notifier.tell()
                    if was_left:
                        raise asyncio.CancelledError
                    continue
                async with asyncio.timeout(self._stall_timeout):
                    await notifier.wait()
            fetching.result()
            if piece.error is not None:
                raise piece.error
            flight.left.remove(position if self._download.stop is None else self._download.stop, sys.maxsize)
        finally:
            fetching.cancel()
            await asyncio.gather(fetching, return_exceptions=True)
            source.segments += [replace(each, stop=min(each.stop, position)) for each in piece.segments if each.start < position]

    async def _opened(self) -> Ingest:
        async with asyncio.timeout(self._stall_timeout):
            while self._ingest is None:
                await self._download.notifier.wait()
        return self._ingest
