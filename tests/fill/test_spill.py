"""What is ahead of its turn waits on the disk, and nobody reads what is only on its way there."""

import asyncio
from collections import deque
from collections.abc import Sequence

import pytest

from regproxy.fill.piece import PieceDownload
from regproxy.fill.source import Source
from regproxy.fill.spill import AHEAD, Spill, write_ahead
from regproxy.notify import Notifier
from regproxy.oci.reference import Repository
from regproxy.policy.upstream.plan import Piece
from regproxy.ports import StoreError
from tests.fill.memory_ingest import MemoryIngest
from tests.fill.test_download import BLOB, DIGEST, MIB, FakeSender
from tests.fill.test_piece import DueAtOnce


class SlowIngest(MemoryIngest):
    """Writes when it may."""

    def __init__(self, size: int, refused_at: int | None = None, lost_at: int | None = None) -> None:
        super().__init__(size, refused_at, lost_at)
        self.asked = asyncio.Event()
        self.may_write = asyncio.Event()

    async def scatter(self, start: int, chunks: Sequence[bytes]) -> None:
        self.asked.set()
        await self.may_write.wait()
        await super().scatter(start, chunks)


class OnTime(DueAtOnce):
    """The order of a piece that is never late."""

    def due(self, piece: PieceDownload) -> float | None: ...


async def _received(notifier: Notifier, start: int, stop: int) -> PieceDownload:
    sender = FakeSender(len(BLOB), [])
    sender.asked.append(0)  # the slow beginning
    piece = PieceDownload(Source(sender, Repository("docker.io", "library/app"), DIGEST), OnTime(), notifier, start, stop, None)
    await piece.fetch()
    return piece


async def test_a_piece_is_read_once_the_write_that_is_on_its_way_is_over() -> None:
    notifier, ingest = Notifier(), SlowIngest(len(BLOB))
    first, second = await _received(notifier, 0, MIB), await _received(notifier, MIB, 2 * MIB)
    pieces: deque[PieceDownload | Piece] = deque([first, second])
    spill = Spill(notifier, pieces)
    assert not spill.begin(), "there is no disk yet"
    spill.open(ingest)
    assert spill.begin()
    await ingest.asked.wait()
    assert (first.waiting, second.waiting) == (MIB, 0), "the one whose turn it is stays in memory"
    reading = asyncio.create_task(spill.read(second, MIB))
    await asyncio.sleep(0)
    assert not reading.done()
    ingest.may_write.set()
    assert await reading == BLOB[MIB : 2 * MIB]
    assert await spill.read(second, 2 * MIB) is None
    assert await spill.read(first, 0) is None
    await spill.close()


async def test_what_the_disk_refuses_stays_in_memory() -> None:
    notifier, ingest = Notifier(), SlowIngest(len(BLOB), refused_at=0)
    piece = await _received(notifier, 0, MIB)
    spill = Spill(notifier, [Piece(0, 0, is_here=True), piece])
    spill.open(ingest)
    assert spill.begin()
    await ingest.asked.wait()
    ingest.may_write.set()
    assert await spill.read(piece, 0) is None
    assert b"".join(piece.take_all()) == BLOB[:MIB]
    assert not spill.begin()
    await spill.close()


async def test_it_ends_when_the_write_that_is_on_its_way_is_over() -> None:
    """Or that would write into the file of whoever comes next."""
    notifier, ingest = Notifier(), SlowIngest(len(BLOB))
    piece = await _received(notifier, 0, MIB)
    spill = Spill(notifier, [Piece(0, 0, is_here=True), piece])
    spill.open(ingest)
    spill.begin()
    await ingest.asked.wait()
    closing = asyncio.create_task(spill.close())
    for _ in range(10):
        await asyncio.sleep(0)
    assert not closing.done()
    ingest.may_write.set()
    await closing
    assert ingest.scattered == MIB


async def test_what_is_lost_on_the_disk_is_named() -> None:
    notifier, ingest = Notifier(), SlowIngest(len(BLOB), lost_at=0)
    piece = await _received(notifier, 0, MIB)
    spill = Spill(notifier, [Piece(0, 0, is_here=True), piece])
    spill.open(ingest)
    spill.begin()
    await ingest.asked.wait()
    ingest.may_write.set()
    with pytest.raises(StoreError):
        await spill.read(piece, 0)
    assert spill.lost(piece) == MIB
    assert await spill.read(piece, MIB) is None
    assert not spill.begin(), "a disk that loses one piece loses others"
    await spill.close()


async def test_a_write_ahead_tells_whether_it_was_cancelled() -> None:
    ingest = SlowIngest(len(BLOB))
    writing = asyncio.create_task(write_ahead(ingest, 0, [BLOB[:MIB]]))
    await ingest.asked.wait()
    writing.cancel()
    await asyncio.sleep(0)
    ingest.may_write.set()
    assert await writing
    assert ingest.scattered == MIB
    assert not await write_ahead(ingest, MIB, [BLOB[MIB : 2 * MIB]])


async def test_a_piece_waits_for_the_disk_with_little_in_memory() -> None:
    notifier, sender = Notifier(), FakeSender(len(BLOB), [])
    sender.asked.append(0)
    piece = PieceDownload(Source(sender, Repository("docker.io", "library/app"), DIGEST), OnTime(), notifier, 0, 8 * MIB, AHEAD)
    fetching = asyncio.create_task(piece.fetch())
    while piece.waiting <= AHEAD:
        await notifier.wait()
    for _ in range(10):
        await asyncio.sleep(0)
    assert piece.waiting <= AHEAD + 64 * 1024
    taken = b""
    while not fetching.done() or piece.waiting:
        taken += b"".join(piece.take_all())
        await asyncio.sleep(0)
    assert taken == BLOB[: 8 * MIB]
