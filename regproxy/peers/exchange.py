"""The pieces that this process brings, for itself and for other members: each once, from whoever the tree says."""

import asyncio
import logging
import time
from collections import Counter

from cachetools import LRUCache

from regproxy.asker import asker
from regproxy.peers.attribution import Attribution, report_corrupt
from regproxy.peers.client import PeerClient
from regproxy.peers.membership import Membership
from regproxy.peers.names import Blob, PieceName
from regproxy.peers.pieces.cache import Hold, PieceCache, PieceFile
from regproxy.peers.pieces.hashes import Finding, PieceHashes
from regproxy.peers.pieces.piece import AtWork, OtherSizeError, Piece, UnservedError
from regproxy.peers.pieces.receiver import Delivery, PieceWriter, Receiver
from regproxy.peers.pieces.trailer import Word
from regproxy.peers.reply import BusyError, LateError, PeerError, StalledError
from regproxy.peers.upstreams import Upstreams
from regproxy.policy.clock import MonotonicClock
from regproxy.policy.fleet.cut import Cut
from regproxy.policy.fleet.suspicion import Suspicions
from regproxy.policy.fleet.traffic import Traffic
from regproxy.policy.fleet.walk import Walk
from regproxy.policy.store.looking import pause
from regproxy.ports import StoreError, UpstreamError
from regproxy.storage.threads import DiskThreads
from regproxy.telemetry import metrics
from regproxy.telemetry.log import fields

MAX_PIECES = 512  # that a worker brings at once for other members; of each, some chunks wait in memory
_PAUSE = 0.25  # seconds before a piece is opened again whose writer, another process, has yet to find out that it is wrong
_MOST_ATTEMPTS = 8  # to have a right piece from members, or from another process, which may have to wait for the word of a member
_MOST_DISOWNED = 2  # times that a member takes back what it has sent of a piece
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
        self.hashes = PieceHashes(upstreams.registries, clock)
        self.at_work = AtWork(run)
        self.streams: set[object] = set()  # of those who read
        self._suspicions = suspicions
        self._client = client
        self._cache = cache
        self._clock = clock
        self._receiver = Receiver(client, membership, attribution, clock)
        self._pieces: dict[PieceName, Piece] = {}
        self._for_others: set[PieceName] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._levels: LRUCache[Blob, int] = LRUCache(_MAX_LEVELS)

    @property
    def traffic(self) -> Traffic:
        return self._receiver.traffic

    def has_room(self, name: PieceName, most: int) -> bool:
        """Whether a piece is brought anyway, or less than *most* are because of other members."""
        return name in self._pieces or len(self._for_others) < most

    def join(self, blob: Blob, cut: Cut, *, is_for_others: bool = False) -> Piece:
        """Read a piece along, bringing it if nobody does; the caller leaves it."""
        name = PieceName(blob, cut)
        piece = self._pieces.get(name)
        if piece is None:
            piece = self._pieces[name] = Piece(name, is_checked=not self.hashes.are_stated(blob))
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
        self.hashes.forget(blob)
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
            out: Counter[str] = Counter()
            while not await self._brought(piece, out):
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

    async def _brought(self, piece: Piece, out: Counter[str]) -> bool:
        """Get all of a piece, right as far as anybody can tell.

        False where the process that brought it died, and took its file with it, or where it is wrong: who is not asked again is *out*.
        """
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
            delivery = Delivery(is_continued=piece.written > 0)
            with self.at_work.on(piece, file):
                if file.hold is Hold.OURS and not await self._is_fetched(PieceWriter(piece, file, self.run), delivery, out):
                    await self._rejected(piece, file, delivery, out)
                    return False
                if not piece.is_checked and not await self._is_right(piece, file, delivery):
                    await self._rejected(piece, file, delivery, out)
                    return False
            if file.hold is Hold.OURS:
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

    async def _is_right(self, piece: Piece, file: PieceFile, delivery: Delivery) -> bool:
        """Find out whether all of a piece is right; what nobody can tell may be."""
        trailer = delivery.trailer
        if trailer is not None and trailer.word is Word.WRONG:
            return False
        assert piece.size is not None  # noqa: S101 -- it is whole
        claimed = file.signed if trailer is None else trailer.signed
        hash_ = await self.run(file.hash)
        if await self.hashes.check(piece.name, piece.size, hash_, claimed) is Finding.WRONG:
            return False
        if (signed := self.hashes.known(piece.name)) is not None:
            self.attribution.acquit(piece.name)
            if file.hold is Hold.OURS:
                await self.run(file.sign, signed)
        piece.approve(signed)
        return True

    async def _rejected(self, piece: Piece, file: PieceFile, delivery: Delivery, out: Counter[str]) -> None:
        """Have nothing more of a wrong piece, and leave alone who sent it; raise `UnservedError` where that was no member."""
        self.attribution.acquit(piece.name)
        if not await self.run(file.discard):
            if piece.attempt >= _MOST_ATTEMPTS:
                raise UnservedError(f"another process has a wrong copy of {piece.name}, and stands still")
            await asyncio.sleep(_PAUSE * min(piece.attempt + 1, _MOST_ATTEMPTS))
        piece.reject()
        if (member := delivery.claimed_by) is not None:
            self._suspicions.sent_corrupt(member, self._clock())
            report_corrupt(member, piece.name.blob)
        elif file.hold is Hold.OURS and not delivery.members and not delivery.is_continued:
            raise UnservedError(f"{piece.name} is another one than upstream says that it is")
        is_disowned = delivery.trailer is not None and delivery.trailer.word is Word.WRONG
        out.update(dict.fromkeys(delivery.members, 1 if is_disowned else _MOST_DISOWNED))

    async def _is_fetched(self, writer: PieceWriter, delivery: Delivery, out: Counter[str]) -> bool:
        """Fetch what is missing of a piece; False where it will be checked, and who sent it does not even say one size."""
        try:
            await self._fetched(writer, delivery, out)
        except OtherSizeError:
            if writer.piece.is_checked:
                raise
            delivery.members |= delivery.heads
            delivery.trailer = None
            return False
        return True

    async def _fetched(self, writer: PieceWriter, delivery: Delivery, out: Counter[str]) -> None:
        """Fetch what is missing of a piece from members, or from upstream where none of them gives it."""
        piece = writer.piece
        blob = piece.name.blob

        def is_out(member: str) -> bool:
            return piece.attempt >= _MOST_ATTEMPTS or out[member] >= _MOST_DISOWNED or self._suspicions.is_suspected(member, self._clock())

        zones, begin, since = self.membership.zones, piece.name.begin, self._clock()
        is_last = self.upstreams.is_cut_off(blob.repository.registry)
        walk = Walk(zones.last(begin) if is_last else zones, begin, self._levels.get(blob), is_out)
        while True:
            if (ask := walk.next()) is None:
                if (pause := walk.pause()) is None:
                    self._leave_full(walk, since)
                    break
                await asyncio.sleep(pause)
                continue
            try:
                await self._receiver.receive(ask, walk, writer, delivery)
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
        delivery.trailer = None
        await self.upstreams.send(piece.name, piece.written, writer.begin, writer.put)
        metrics.FLEET_PIECES.labels("upstream").inc()

    def _suspect(self, member: str, error: Exception) -> None:
        if self._suspicions.failed(member, str(error), self._clock()):
            _log.warning("a member of the fleet does not serve", extra=fields(member=member, reason=str(error)))

    def _leave_full(self, walk: Walk, since: float) -> None:
        """Leave alone who had no room whenever it was asked: who gave something meanwhile has much to do, who did not may never again."""
        for member in walk.full:
            if not self._suspicions.has_served(member, since):
                self._suspect(member, PeerError("it has had no room for too long"))
