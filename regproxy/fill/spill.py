"""What of a download is ahead of its turn, on the disk: much more of it than may wait in memory, and it survives where we are killed."""

import asyncio
from collections.abc import Sequence
from itertools import islice
from typing import TypeGuard

from regproxy.fill.piece import PieceDownload
from regproxy.notify import Notifier
from regproxy.policy.upstream.plan import Piece
from regproxy.ports import Ingest, StoredBytes, StoreError

AHEAD = 256 * 1024  # bytes of each piece that wait in memory for the disk, three times at most
_LEAST = 128 * 1024  # bytes written at once, but for the last of a piece
_READ = 1024 * 1024


class Spill:
    """Writes what came of pieces ahead of their turn to where it belongs, and reads it when it is their turn."""

    def __init__(self, notifier: Notifier, pieces: Sequence[PieceDownload | Piece]) -> None:
        """Write nothing yet of *pieces*, which are in their order; *notifier* tells when something of them came."""
        self._ingest: Ingest | None = None
        self._notifier = notifier
        self._pieces = pieces
        self._reached: dict[PieceDownload, int] = {}  # up to where they are on the disk
        self._writing: set[PieceDownload] = set()
        self._is_refused = False
        self._task: asyncio.Task[None] | None = None

    def open(self, ingest: Ingest) -> None:
        """Have what waits written to *ingest*, once some is to be."""
        self._ingest = ingest

    def begin(self) -> bool:
        """Write what waits from now on, and return whether the disk takes more."""
        if self._ingest is None or self._is_refused or not self._ingest.can_scatter:
            return False
        if self._task is None:
            self._task = asyncio.create_task(self._write(self._ingest), name="spill")
        return True

    async def close(self) -> None:
        """Wait for the write in progress, and begin none."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def read(self, piece: PieceDownload, start: int) -> StoredBytes | None:
        """Return bytes of *piece*, whose turn it is, from *start* on; None where it has none there. Raise `StoreError`."""
        while piece in self._writing:
            await self._notifier.wait()
        if self._ingest is not None and (stop := self._reached.get(piece, start)) > start:
            return await self._ingest.read(start, min(stop, start + _READ))
        self._reached.pop(piece, None)
        return None

    def lost(self, piece: PieceDownload) -> int:
        """Return where what came of *piece* and is not on the disk begins: what is before cannot be read any more.

        No more is written: it would be lost, and fetched twice, too.
        """
        self._is_refused = True
        return self._reached.pop(piece)

    async def _write(self, ingest: Ingest) -> None:
        while not self._is_refused:
            if ingest.can_scatter and (taken := [self._take(piece) for piece in islice(self._pieces, 1, None) if _is_full(piece)]):
                await asyncio.gather(*(self._write_some(ingest, *each) for each in taken))
            else:
                await self._notifier.wait()

    def _take(self, piece: PieceDownload) -> tuple[PieceDownload, int, list[bytes]]:
        """Take what came of a piece and from where on that is; who reads the piece waits for it from now on."""
        self._writing.add(piece)
        return piece, piece.reached - piece.waiting, piece.take_all()

    async def _write_some(self, ingest: Ingest, piece: PieceDownload, start: int, chunks: Sequence[bytes]) -> None:
        is_written = False
        try:
            is_cancelled = await write_ahead(ingest, start, [b"".join(chunks)])
            is_written, self._reached[piece] = True, start + sum(map(len, chunks))
            if is_cancelled:
                raise asyncio.CancelledError
        except StoreError:
            self._is_refused = True
        finally:
            if not is_written:
                piece.put_back(chunks)
            self._writing.remove(piece)
            self._notifier.tell()


def _is_full(piece: PieceDownload | Piece) -> TypeGuard[PieceDownload]:
    """Whether enough of it waits to be written."""
    return isinstance(piece, PieceDownload) and piece.waiting >= (1 if piece.is_over else _LEAST)


async def write_ahead(ingest: Ingest, start: int, chunks: Sequence[bytes]) -> bool:
    """Write, and report whether we were cancelled: a write that is on its way must be over before anybody else writes there."""
    writing, is_cancelled = asyncio.create_task(ingest.scatter(start, chunks)), False
    while not writing.done():
        try:
            await asyncio.wait({writing})
        except asyncio.CancelledError:
            is_cancelled = True
    writing.result()
    return is_cancelled
