"""The pieces that this process brings, for itself and for other members: each once, from whoever the tree says."""

import asyncio
import logging
import time
from functools import partial
from typing import Any

from cachetools import LRUCache

from regproxy.asker import asker
from regproxy.peers.attribution import Attribution, SentRange
from regproxy.peers.client import BusyError, LateError, PeerClient, PeerError, Reply, StalledError
from regproxy.peers.membership import Membership
from regproxy.peers.names import Blob, PieceName
from regproxy.peers.pieces.cache import Hold, PieceCache, PieceFile
from regproxy.peers.pieces.piece import AtWork, Piece, UnservedError
from regproxy.peers.upstreams import Upstreams
from regproxy.policy.clock import MonotonicClock
from regproxy.policy.fleet.cut import Cut
from regproxy.policy.fleet.pace import SILENCE, Transfer, Usual, Verdict
from regproxy.policy.fleet.suspicion import Suspicions
from regproxy.policy.fleet.traffic import Traffic
from regproxy.policy.fleet.walk import Ask, Walk
from regproxy.policy.store.looking import pause
from regproxy.ports import StoreError, UpstreamError
from regproxy.storage.threads import DiskThreads
from regproxy.telemetry import metrics
from regproxy.telemetry.log import fields

MAX_PIECES = 512  # that a worker brings at once for other members; of each, some chunks wait in memory
_LOOK = 0.25  # seconds between two looks at a member that is waited for
_MAX_LEVELS = 1000  # blobs for which it is remembered who had room
_SWEEP = 5.0  # seconds

_log = logging.getLogger(__name__)


class Exchange:
    """Brings pieces."""

    def __init__(
        self,
        upstreams: Upstreams,
        membership: Membership,
        suspicions: Suspicions,
        client: PeerClient,
        cache: PieceCache,
        run: DiskThreads,
        attribution: Attribution,
        clock: MonotonicClock = time.monotonic,
    ) -> None:
        """Bring pieces from members, or from *upstreams*, into *cache*, whose calls go through *run*."""
        self.membership = membership
        self.run = run
        self.attribution = attribution
        self.upstreams = upstreams
        self.traffic = Traffic()
        self.at_work = AtWork(run)
        self.streams: set[object] = set()  # of those who read
        self._suspicions = suspicions
        self._client = client
        self._cache = cache
        self._clock = clock
        self._usual = Usual()
        self._pieces: dict[PieceName, Piece] = {}
        self._for_others: set[PieceName] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._levels: LRUCache[Blob, int] = LRUCache(_MAX_LEVELS)

    def has_room(self, name: PieceName, most: int) -> bool:
        """Whether a piece is brought anyway, or less than *most* are because of other members."""
        return name in self._pieces or len(self._for_others) < most

    def join(self, blob: Blob, cut: Cut, *, is_for_others: bool = False) -> Piece:
        """Read a piece along, bringing it if nobody does; the caller leaves it."""
        name = PieceName(blob, cut)
        piece = self._pieces.get(name)
        if piece is None:
            piece = self._pieces[name] = Piece(name)
            self._for_others.update({name} if is_for_others else ())
            task = asyncio.create_task(self._driven(piece), name=f"fleet {name}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        piece.join()
        return piece

    async def keep(self) -> None:
        """Keep the pieces on the disk few, for ever."""
        while True:
            try:
                await self.run(self._cache.prepare)
                metrics.FLEET_PIECE_CACHE_BYTES.set(await self.run(self._cache.sweep))
            except StoreError as error:
                _log.warning("cannot keep pieces for the fleet", extra=fields(reason=str(error)))
            await asyncio.sleep(_SWEEP)

    async def corrupt(self, blob: Blob) -> None:
        """Forget all pieces of *blob*, some of which were wrong, and find out whose once the right ones are here."""
        await self.attribution.report_corrupt(blob, self._suspicions)
        await self.run(self._cache.forget, blob)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.attribution.close()
        await self._client.close()

    async def _driven(self, piece: Piece) -> None:
        asker.set(self.upstreams.asker(piece.name.blob.repository.registry))  # of this task, whoever began it
        try:
            while not await self._brought(piece):
                piece.restart()
        except (UpstreamError, UnservedError) as error:
            piece.fail(error)
        except StoreError as error:
            piece.fail(UnservedError(str(error)))
        except asyncio.CancelledError:
            piece.fail(UnservedError("we stop"))
            raise
        except Exception as error:
            _log.exception("this is a bug", extra=fields(piece=repr(piece)))
            piece.fail(UnservedError(type(error).__name__))
        finally:
            if self._pieces.get(piece.name) is piece:
                del self._pieces[piece.name]
                self._for_others.discard(piece.name)
            piece.end()

    async def _brought(self, piece: Piece) -> bool:
        """Get all of a piece; False where the process that brought it died, and took its file with it."""
        self.upstreams.check(piece.name)
        file: PieceFile = await self.run(self._cache.open, piece.name, undo=PieceFile.close)
        try:
            if file.hold is Hold.THEIRS and not await self._followed(piece, file):
                return False
            if file.hold is Hold.WHOLE:
                assert file.size is not None  # noqa: S101 -- it is whole
                piece.begin(file, file.size, file.length)
                piece.reach(file.length)
                metrics.FLEET_PIECES.labels("disk").inc()
            if file.hold is Hold.OURS:
                with self.at_work.on(piece, file):
                    await self._fetched(piece, file)
                await self.run(file.keep)
            return True
        except BaseException:
            await self.run(file.drop)
            raise
        finally:
            if not piece.reads(file):
                file.close()
            elif file.hold is Hold.OURS and piece.is_whole:
                file.unlock()

    async def _followed(self, piece: Piece, file: PieceFile) -> bool:
        """Read along what another process brings, and go on with it where that process died; False where it left nothing."""
        began = self._clock()
        while True:
            before = file.modified
            try:
                written, is_ours = await self.run(file.followed)
            except StoreError:
                return False
            piece.beats += file.modified != before
            if file.size is not None:
                piece.begin(file, file.size, file.length)
                if written > piece.written:
                    piece.reach(written)
            if is_ours or (file.size is not None and written == file.length):
                return True
            await asyncio.sleep(pause(self._clock() - began))

    async def _fetched(self, piece: Piece, file: PieceFile) -> None:
        """Fetch what is missing of a piece from members, or from upstream where none of them gives it."""
        blob = piece.name.blob
        zones, begin, since = self.membership.zones, piece.name.begin, self._clock()
        is_last = self.upstreams.is_cut_off(blob.repository.registry)
        walk = Walk(zones.last(begin) if is_last else zones, begin, self._levels.get(blob), self._is_suspected)
        while True:
            if (ask := walk.next()) is None:
                if (pause := walk.pause()) is None:
                    self._leave_full(walk, since)
                    break
                await asyncio.sleep(pause)
                continue
            try:
                await self._from_member(ask, walk, piece, file)
            except BusyError:
                metrics.FLEET_REQUESTS.labels("busy").inc()
                walk.busy(ask)
            except LateError:
                metrics.FLEET_REQUESTS.labels("late").inc()
            except StalledError as error:
                metrics.FLEET_REQUESTS.labels("late").inc()
                if not walk.stalled(ask, has_waited=error.has_waited):
                    self._suspect(ask.member, error)
            except PeerError as error:
                metrics.FLEET_REQUESTS.labels("failed").inc()
                walk.failed(ask)
                if error.is_suspect:
                    self._suspect(ask.member, error)
            else:
                metrics.FLEET_REQUESTS.labels("ok").inc()
                metrics.FLEET_PIECES.labels("peer").inc()
                self._suspicions.served(ask.member, self._clock())
                self._levels[blob] = walk.level
                return
        await self.upstreams.send(piece.name, piece.written, partial(self._begin, piece, file), partial(self._put, piece, file))
        metrics.FLEET_PIECES.labels("upstream").inc()

    def _suspect(self, member: str, error: Exception) -> None:
        if self._suspicions.failed(member, str(error), self._clock()):
            _log.warning("a member of the fleet does not serve", extra=fields(member=member, reason=str(error)))

    def _leave_full(self, walk: Walk, since: float) -> None:
        """Leave alone who had no room whenever it was asked: who gave something meanwhile has much to do, who did not may never again."""
        for member in walk.full:
            if not self._suspicions.has_served(member, since):
                self._suspect(member, PeerError("it has had no room for too long"))

    def _is_suspected(self, member: str) -> bool:
        return self._suspicions.is_suspected(member, self._clock())

    async def _from_member(self, ask: Ask, walk: Walk, piece: Piece, file: PieceFile) -> None:
        start = piece.name.cut.start + piece.written
        stop = piece.stop if piece.size is not None else piece.name.cut.stop
        async with self._client.piece(ask.member, piece.name.blob, start, stop, is_final=ask.is_final, us=self.membership.ring.us) as reply:
            spent, silence = walk.spent[ask.member], SILENCE + self._client.timeout
            transfer = Transfer(self._clock(), stop - start, walk.depth, self._usual, silence, spent)
            head = asyncio.ensure_future(reply.head(transfer.beat))
            try:
                await self._waited(head, ask, walk, transfer)
                size, end = head.result()
                if end != min(piece.name.cut.stop, size):
                    raise PeerError("it sent another part than was asked for")
                await self._begin(piece, file, size)
                await self._received(reply, ask, walk, transfer, piece, file)
            finally:
                head.cancel()
            transfer.ended(self._clock())

    async def _received(self, reply: Reply, ask: Ask, walk: Walk, transfer: Transfer, piece: Piece, file: PieceFile) -> None:
        chunks, before = reply.chunks(), piece.written
        try:
            while piece.written < piece.length:
                chunk = asyncio.ensure_future(anext(chunks))
                try:
                    await self._waited(chunk, ask, walk, transfer)
                    got = chunk.result()
                finally:
                    chunk.cancel()
                    await asyncio.gather(chunk, return_exceptions=True)
                transfer.received(len(got), self._clock())
                metrics.FLEET_BYTES.labels("received").inc(len(got))
                self.traffic.count(ask.member, received=len(got))
                if not self.membership.zones.is_near(ask.member):
                    metrics.FLEET_OTHER_ZONE_BYTES.inc(len(got))
                await self._put(piece, file, got)
        finally:
            self.attribution.received(piece.name, SentRange(ask.member, before, piece.written, piece.size or 0))

    async def _waited(self, coming: asyncio.Future[Any], ask: Ask, walk: Walk, transfer: Transfer) -> None:
        """Wait for what a member is to send.

        Raise `PeerError` where it is dead, `StalledError` where it does not go on, `LateError` where it is slow and another one may do.
        """
        while True:
            verdict = transfer.judge(self._clock())
            if verdict is Verdict.GIVE_UP:
                raise PeerError("it is much too slow")
            if verdict is Verdict.SILENT:
                transfer.stalled(self._clock())
                raise StalledError(has_waited=transfer.has_waited) if transfer.count else PeerError("it accepted, and fell silent")
            if verdict is Verdict.LEAVE and self._has_another(walk, ask):
                raise LateError
            done, _ = await asyncio.wait({coming}, timeout=_LOOK)
            if done:
                return

    def _has_another(self, walk: Walk, ask: Ask) -> bool:
        """Go on to another member, if there is one: upstream is none, which is slower for all of us."""
        walk.failed(ask)
        return walk.next() is not None

    async def _begin(self, piece: Piece, file: PieceFile, size: int) -> None:
        length = max(min(piece.name.cut.stop, size) - piece.name.cut.start, 0)
        piece.begin(file, size, length)  # where others said another size, nobody knows who is right
        if file.size != size:
            await self.run(file.begin, size, length)

    async def _put(self, piece: Piece, file: PieceFile, chunk: bytes) -> None:
        chunk = chunk[: piece.length - piece.written]
        await self.run(file.write, piece.written, chunk)
        piece.reach(piece.written + len(chunk))
