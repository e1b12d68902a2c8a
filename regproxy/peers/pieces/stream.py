"""A blob, or a part of one, read from its pieces in order, some of which are brought ahead of the reader."""

import asyncio
import os
import time
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial

from regproxy.peers.exchange import Exchange
from regproxy.peers.names import Blob
from regproxy.peers.pieces.piece import Piece
from regproxy.policy.fleet.ahead import LEAST, adapted
from regproxy.policy.fleet.cut import piece_at

_SIGN = 1.0  # seconds between two signs of life
_CHUNK = 512 * 1024  # bytes read at once


class PieceStream:
    """Bytes *start* to *stop* of a blob, or to its end."""

    def __init__(self, exchange: Exchange, blob: Blob, start: int, stop: int | None) -> None:
        """Ask for nothing yet."""
        self.start = start
        self.stop = 0  # where it ends, once the size is known
        self.size = 0
        self._exchange = exchange
        self._blob = blob
        self._wanted = stop
        self._pieces: deque[Piece] = deque()
        self._next = start  # what is brought next
        self._most = LEAST  # pieces that are brought at once

    async def open(self) -> None:
        """Wait for the size; raise `UpstreamError` or `UnservedError`."""
        self._exchange.streams.add(self)
        self._join()
        self.size = await self._pieces[0].checked()
        self.stop = self.size if self._wanted is None else min(self._wanted, self.size)

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """Yield the bytes, and nothing at all as a sign of life while a piece grows that may not be read yet; raise as `open`."""
        position = self.start
        while position < self.stop:
            while self._next < self.stop and len(self._pieces) < self._most:
                self._join()
            piece = self._pieces[0]
            async with aclosing(self._checked(piece)) as signs:
                async for sign in signs:
                    yield sign
            end = min(piece.name.cut.stop, self.stop)
            while position < end:
                extent = await piece.extent(position, min(end, position + _CHUNK))
                chunk: bytes = await self._exchange.run(partial(os.pread, extent.file.fileno(), extent.length, extent.offset))
                if not chunk:
                    raise OSError("a piece is shorter than it was")
                position += len(chunk)
                yield chunk
            self._pieces.popleft().leave()

    async def _checked(self, piece: Piece) -> AsyncGenerator[bytes, None]:
        """Wait for a piece that may be read, and yield the signs of life."""
        asked, written = time.monotonic(), piece.written
        checking = asyncio.ensure_future(piece.checked())
        try:
            while not (await asyncio.wait({checking}, timeout=_SIGN))[0]:
                if piece.written != written:
                    written = piece.written
                    yield b""
            await checking
        finally:
            checking.cancel()
        self._most = adapted(self._most, time.monotonic() - asked, len(self._exchange.streams))

    def close(self) -> None:
        """Read no more; pieces on their way come nevertheless: others may want them."""
        self._exchange.streams.discard(self)
        while self._pieces:
            self._pieces.pop().leave()

    def _join(self) -> None:
        cut = piece_at(self._next)
        self._pieces.append(self._exchange.join(self._blob, cut))
        self._next = cut.stop
