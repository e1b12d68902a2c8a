"""A piece on its way from a member: received, judged, and written down as it comes."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

from regproxy.peers.attribution import Attribution, SentRange
from regproxy.peers.client import PeerClient
from regproxy.peers.membership import Membership
from regproxy.peers.pieces.cache import PieceFile
from regproxy.peers.pieces.piece import Piece
from regproxy.peers.pieces.trailer import Trailer, Word
from regproxy.peers.reply import LateError, PeerError, Reply, StalledError
from regproxy.policy.clock import MonotonicClock
from regproxy.policy.fleet.pace import SILENCE, Transfer, Usual, Verdict
from regproxy.policy.fleet.traffic import Traffic
from regproxy.policy.fleet.walk import Ask, Walk
from regproxy.storage.threads import DiskThreads
from regproxy.telemetry import metrics

_LOOK = 0.25  # seconds between two looks at a member that is waited for
_TRAILERS = 5  # timeouts for what a member says in the end: it may have to ask


@dataclass(slots=True)
class Delivery:
    """Who sent a piece, and what the last one of them said of it in the end."""

    members: set[str] = field(default_factory=set)
    heads: set[str] = field(default_factory=set)  # who said how long the blob is
    is_continued: bool = False  # somebody else has sent the beginning
    trailer: Trailer | None = None  # none where somebody else than a member sent the end, or that member broke off

    @property
    def claimed_by(self) -> str | None:
        """The one member who sent all of it, and has not taken it back."""
        stands = self.trailer is not None and self.trailer.word is not Word.WRONG
        return next(iter(self.members)) if stands and len(self.members) == 1 and not self.is_continued else None


class PieceWriter:
    """Writes a piece to its file, and lets its readers know."""

    def __init__(self, piece: Piece, file: PieceFile, run: DiskThreads) -> None:
        self.piece = piece
        self._file = file
        self._run = run

    async def begin(self, size: int) -> None:
        cut = self.piece.name.cut
        length = max(min(cut.stop, size) - cut.start, 0)
        self.piece.begin(self._file, size, length)  # where others said another size, nobody knows who is right
        if self._file.size != size:
            await self._run(self._file.begin, size, length)

    async def put(self, chunk: bytes) -> None:
        chunk = chunk[: self.piece.length - self.piece.written]
        await self._run(self._file.write, self.piece.written, chunk)
        self.piece.reach(self.piece.written + len(chunk))


class Receiver:
    """Receives pieces from members."""

    def __init__(self, client: PeerClient, membership: Membership, attribution: Attribution, clock: MonotonicClock) -> None:
        """Ask by *client*, and tell *attribution* who sent what."""
        self.traffic = Traffic()
        self._client = client
        self._membership = membership
        self._attribution = attribution
        self._clock = clock
        self._usual = Usual()

    async def receive(self, ask: Ask, walk: Walk, writer: PieceWriter, delivery: Delivery) -> None:
        """Receive what is missing of a piece from whom *walk* has named, and what that one says of it.

        Raise `BusyError`, `UpstreamError`, `PeerError` where it is dead, `StalledError` where it does not go on, `LateError` where it is
        slow and another one may do.
        """
        piece = writer.piece
        start = piece.name.cut.start + piece.written
        stop = piece.stop if piece.size is not None else piece.name.cut.stop
        us = self._membership.ring.us
        async with self._client.piece(ask.member, piece.name.blob, start, stop, is_final=ask.is_final, us=us) as reply:
            spent, silence = walk.spent[ask.member], SILENCE + self._client.timeout
            transfer = Transfer(self._clock(), stop - start, walk.depth, self._usual, silence, spent)
            head = asyncio.ensure_future(reply.head(transfer.beat))
            try:
                await self._waited(head, ask, walk, transfer)
                size, end = head.result()
                if end != min(piece.name.cut.stop, size):
                    raise PeerError("it sent another part than was asked for")
                delivery.heads.add(ask.member)
                await writer.begin(size)
                await self._received(reply, ask, walk, transfer, writer, delivery)
            finally:
                head.cancel()
            transfer.ended(self._clock())
            delivery.trailer = await reply.trailer(_TRAILERS * self._client.timeout)

    async def _received(self, reply: Reply, ask: Ask, walk: Walk, transfer: Transfer, writer: PieceWriter, delivery: Delivery) -> None:
        piece = writer.piece
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
                if not self._membership.zones.is_near(ask.member):
                    metrics.FLEET_OTHER_ZONE_BYTES.inc(len(got))
                delivery.members.add(ask.member)
                await writer.put(got)
        finally:
            self._attribution.received(piece.name, SentRange(ask.member, before, piece.written, piece.size or 0))

    async def _waited(self, coming: asyncio.Future[Any], ask: Ask, walk: Walk, transfer: Transfer) -> None:
        while True:
            verdict = transfer.judge(self._clock())
            if verdict is Verdict.GIVE_UP:
                raise PeerError("it is much too slow")
            if verdict is Verdict.SILENT:
                transfer.stalled(self._clock())
                raise StalledError(has_waited=transfer.has_waited) if transfer.count else PeerError("it accepted, and fell silent")
            if verdict is Verdict.LEAVE and _has_another(walk, ask):
                raise LateError
            done, _ = await asyncio.wait({coming}, timeout=_LOOK)
            if done:
                return


def _has_another(walk: Walk, ask: Ask) -> bool:
    """Go on to another member, if there is one: upstream is none, which is slower for all of us."""
    walk.failed(ask)
    return walk.next() is not None
