"""Pieces for other members: out of the store, a fill in progress, or the exchange, which brings them by the same rule."""

import asyncio
import json
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from email.utils import formatdate
from functools import partial
from urllib.parse import parse_qs

from aiohttp import web

from regproxy.fill.fill import Fill
from regproxy.fill.fills import Fills
from regproxy.oci import errors
from regproxy.oci.errors import RegistryError
from regproxy.oci.http import byterange
from regproxy.oci.http.byterange import ByteRange
from regproxy.peers.exchange import MAX_PIECES, Exchange
from regproxy.peers.key_values import LOCKS, VALUES
from regproxy.peers.keys import ANSWER, REQUEST, FleetKeys, NotOursError, Sealed
from regproxy.peers.names import DECIDED, PIECES, PING, Blob, PieceName, parsed
from regproxy.peers.pieces.piece import EVERY, Piece, UnservedError
from regproxy.peers.pieces.trailer import FIELD, LENGTH, Trailer, Word
from regproxy.peers.reply import BEAT, BUSY, BYTES, FAILED, MISDIRECTED, OUTCOME, PENDING
from regproxy.policy.clock import WallClock
from regproxy.policy.fleet.cut import piece_at
from regproxy.policy.fleet.refusals import Refusals
from regproxy.ports import Content, Extent, StoreError, UpstreamError, encoded_error
from regproxy.telemetry import metrics
from regproxy.telemetry.log import fields
from regproxy.web.buffered import read_whole
from regproxy.web.context import RequestContext
from regproxy.web.fleet.answers import headed, short
from regproxy.web.fleet.key_values import KeyValueEndpoint
from regproxy.web.fleet.watching import WatchEndpoint
from regproxy.web.parameters import path_of
from regproxy.web.sendfile import send_extent

PREFIX = "/fleet/v1/"
_MAX_HOST = 200  # characters, in the log

_log = logging.getLogger(__name__)

Cached = Callable[[Blob], Awaitable[Content | None]]
Count = Callable[[int], None]  # bytes that were sent


@dataclass(frozen=True, slots=True)
class Members:
    """What is answered to members, and only to them: to all others there is nothing here."""

    keys: FleetKeys
    exchange: Exchange
    cached: Cached  # opens a blob that may be served to whoever asks for it under its repository; raises as `Blobs.open`
    fills: Fills
    clock: WallClock
    watching: WatchEndpoint
    key_values: KeyValueEndpoint | None = None  # what is kept for members
    refusals: Refusals = field(default_factory=Refusals)
    sending: Counter[PieceName] = field(default_factory=Counter)  # how many members each piece is sent to now

    async def answer(self, request: web.BaseRequest, context: RequestContext) -> web.StreamResponse:
        """Answer a request below `PREFIX`; raise `RegistryError`."""
        target = request.raw_path
        range_ = request.headers.get("Range", "")
        try:
            sealed = self.keys.opened(request.headers.get(REQUEST, ""), request.method, request.headers.get("Host", ""), target, range_)
        except NotOursError as error:
            self._refused(request, context, f"it is {error}")
            now = {"Date": formatdate(self.clock(), usegmt=True)}  # no secret, and who has the key needs it
            raise RegistryError("UNAUTHORIZED", 401, "only for members of the fleet", now) from error
        if request.headers.get("Host") != self.exchange.membership.authority:
            # Whoever was asked in our place may show it to us, and who is asked under two names would wait for itself.
            self._refused(request, context, f"it is made for another member than {self.exchange.membership.authority}")
            return short(sealed, MISDIRECTED)
        if path_of(request) in {PING, DECIDED}:
            context.is_routine = True
            return await self.watching.answer(path_of(request), sealed)
        if self.key_values is not None and path_of(request) in {VALUES, LOCKS}:
            context.is_routine = True  # each pull makes some
            return await self.key_values.answer(request, sealed)
        if path_of(request) != PIECES:
            raise errors.blob_unknown("members ask for nothing else")
        try:
            blob, is_final, whose = parsed(parse_qs(target.partition("?")[2], strict_parsing=True))
            start, stop = _bounds(range_)
        except ValueError as error:
            raise errors.blob_unknown("no piece of a blob is asked for") from error
        context.is_quiet = True  # an image is thousands of them
        name = PieceName(blob, piece_at(start))
        if stop > name.cut.stop or blob.repository.registry not in self.exchange.upstreams.registries:
            return short(sealed, FAILED)
        # What we ask upstream for waits for no other member, whatever all of them have to do: of that, there is always some room.
        most = MAX_PIECES * (1 if self.exchange.membership.ring.rank(name.begin) else 2)
        if self.sending.total() >= most or (not is_final and self.sending[name] >= self.exchange.membership.ring.fan_out):
            return short(sealed, BUSY)
        self.sending[name] += 1
        try:
            return await self._sent(request, sealed, name, most, start, stop, partial(self._count, whose))
        finally:
            self.sending[name] -= 1
            if not self.sending[name]:
                del self.sending[name]

    def _refused(self, request: web.BaseRequest, context: RequestContext, reason: str) -> None:
        metrics.FLEET_REQUESTS.labels("refused").inc()
        context.is_quiet = True  # who has another key asks every second
        if (told := self.refusals.refused(request.remote or "", reason, time.monotonic())) is not None:
            client, requests = told
            host = request.headers.get("Host", "")[:_MAX_HOST]
            _log.warning("refused a request to the fleet", extra=fields(client=client, host=host, reason=reason, requests=requests))

    def _count(self, member: str, length: int) -> None:
        metrics.FLEET_BYTES.labels("sent").inc(length)
        if member in self.exchange.membership.ring:
            self.exchange.traffic.count(member, sent=length)

    async def _sent(
        self, request: web.BaseRequest, sealed: Sealed, name: PieceName, most: int, start: int, stop: int, count: Count
    ) -> web.StreamResponse:
        try:
            content = await self.cached(name.blob)
        except (RegistryError, UpstreamError, StoreError):
            return short(sealed, FAILED)  # who asks has rules of its own, and finds out the same way
        if content is not None:
            try:
                part = ByteRange(start, min(stop, content.size), content.size)
                if part.length <= 0:
                    return short(sealed, FAILED)
                return await _content(request, sealed, part, self._trailer(name), content, count)
            finally:
                content.release()
        fill = self.fills.find(name.blob.repository, name.blob.digest)
        if fill is not None and fill.has_begun and stop < fill.written:
            return await _growing(request, sealed, ByteRange(start, stop, fill.size), self._trailer(name), fill, count)
        if self.exchange.upstreams.is_cut_off(name.blob.repository.registry):
            return short(sealed, FAILED)
        if not self.exchange.has_room(name, most):
            return short(sealed, BUSY)
        piece = self.exchange.join(name.blob, name.cut, is_for_others=True)
        try:
            return await _piece(request, sealed, start, piece, count, has_trailer=self.exchange.hashes.are_stated(name.blob))
        finally:
            piece.leave()

    def _trailer(self, name: PieceName) -> Trailer | None:
        """Return what is said of a piece that is here, if anything is ever said of such pieces."""
        hashes = self.exchange.hashes
        return Trailer.of(hashes.known(name)) if hashes.are_stated(name.blob) else None


def _bounds(range_: str) -> tuple[int, int]:
    """Read from where to where a piece is asked for; raise `ValueError`."""
    start, stop = byterange.single(range_) or (0, None)
    if stop is None or not 0 <= start < stop:
        raise ValueError("not a part of a piece")
    return start, stop


async def _content(
    request: web.BaseRequest, sealed: Sealed, part: ByteRange, trailer: Trailer | None, content: Content, count: Count
) -> web.StreamResponse:
    response = _begun(sealed, BYTES, part, has_trailer=trailer is not None)
    writer = await response.prepare(request)
    start = part.start
    while writer is not None and start < part.stop:
        extent = await content.extent(start, part.stop)
        await send_extent(request, writer, extent)
        count(extent.length)
        start += extent.length
    if trailer is not None:
        await response.write(trailer.encode())
    return response


async def _growing(
    request: web.BaseRequest, sealed: Sealed, part: ByteRange, trailer: Trailer | None, fill: Fill, count: Count
) -> web.StreamResponse:
    """Send what a fill has written; it is not verified, and who asks knows."""
    follower = fill.follow()
    try:
        response = _begun(sealed, BYTES, part, has_trailer=trailer is not None)
        writer = await response.prepare(request)
        start = part.start
        while writer is not None and start < part.stop:
            extent = await follower.extent(start, part.stop + 1)  # of a part that is asked for, the last byte waits until all is verified
            length = min(extent.length, part.stop - start)
            await send_extent(request, writer, Extent(extent.file, extent.offset, length, extent.is_lasting))
            count(length)
            start += length
        if trailer is not None:
            await response.write(trailer.encode())
        return response
    finally:
        follower.release()


@dataclass(frozen=True, slots=True)
class _Said:
    """What is said of a piece before it is sent: up to where it is, as of one attempt to bring it."""

    text: str
    stop: int
    attempt: int


async def _piece(
    request: web.BaseRequest, sealed: Sealed, start: int, piece: Piece, count: Count, *, has_trailer: bool
) -> web.StreamResponse:
    """Send a piece as it grows; its head goes out at once, and says what it is when there is something to send."""
    if piece.size is not None and start >= piece.stop:
        return short(sealed, FAILED)
    if piece.size is not None and start < piece.name.cut.start + piece.written:
        stop, attempt = piece.stop, piece.attempt
        response = _begun(sealed, BYTES, ByteRange(start, stop, piece.size), has_trailer=has_trailer)
        writer = await response.prepare(request)
    else:
        response = headed(web.StreamResponse(), sealed, PENDING)
        if has_trailer:
            response.headers[FIELD] = "1"
        response.enable_chunked_encoding()
        writer = await response.prepare(request)
        said = await _said_in_the_end(response, start, piece)
        stop, attempt = said.stop, said.attempt
        await response.write(json.dumps({"said": said.text, "mac": sealed.mac(said.text)}).encode() + b"\n")
        has_trailer = has_trailer and stop > start
    try:
        while writer is not None and start < stop:
            extent = await piece.extent(start, stop, attempt)
            if response.chunked:
                chunk = await asyncio.to_thread(read_whole, extent)
                await response.write(chunk)
                start += len(chunk)
                count(len(chunk))
            else:
                await send_extent(request, writer, extent)
                start += extent.length
                count(extent.length)
        if has_trailer and writer is not None:
            trailer = Trailer.of(piece.signed) if await piece.stands(attempt) else Trailer(Word.WRONG)
            await response.write(trailer.encode())
    except (UnservedError, UpstreamError, StoreError):
        response.force_close()  # short of what was promised: who asks goes on elsewhere
        if request.transport is not None:
            request.transport.close()
    return response


async def _said_in_the_end(response: web.StreamResponse, start: int, piece: Piece) -> _Said:
    """Say that we are at work on a piece, where we are, as long as there is nothing to say of it; then return that."""
    saying, seen = asyncio.create_task(_said(start, piece)), 0
    try:
        while not saying.done():
            if piece.beats != seen:
                seen = piece.beats
                await response.write(BEAT)
            await asyncio.wait({saying}, timeout=EVERY)
        return saying.result()
    finally:
        saying.cancel()


async def _said(start: int, piece: Piece) -> _Said:
    """Wait until there is something to send of a piece from *start* on, or until it is known why there is not."""
    try:
        await piece.head()
        if start < piece.stop:
            await piece.extent(start, piece.stop)
    except UpstreamError as error:
        return _Said(json.dumps({"error": encoded_error(error)}), start, piece.attempt)
    except (UnservedError, StoreError) as error:
        return _Said(json.dumps({"failed": str(error)}), start, piece.attempt)
    if piece.size is None or start >= piece.stop:
        return _Said(json.dumps({"failed": "the blob ends before"}), start, piece.attempt)
    return _Said(json.dumps({"range": ByteRange(start, piece.stop, piece.size).content_range()}), piece.stop, piece.attempt)


def _begun(sealed: Sealed, outcome: str, part: ByteRange, *, has_trailer: bool) -> web.StreamResponse:
    response = web.StreamResponse(status=206)
    said = part.content_range()
    response.headers["Content-Range"] = said
    response.headers[OUTCOME] = outcome
    response.headers[ANSWER] = sealed.mac("206", outcome, said)
    response.content_length = part.length
    if has_trailer:
        response.headers[FIELD] = "1"
        response.content_length += LENGTH
    return response
