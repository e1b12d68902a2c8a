import asyncio
import os
from pathlib import Path

import pytest

from regproxy.oci.digest import Digest
from regproxy.peers.names import Blob, PieceName
from regproxy.peers.pieces.cache import PieceCache, PieceFile
from regproxy.peers.pieces.piece import AtWork, Piece, UnservedError
from regproxy.policy.fleet.cut import MIB, piece_at
from regproxy.ports import Throttled
from regproxy.storage.threads import DiskThreads
from tests.peers.parts import REPOSITORY

BLOB = Blob(REPOSITORY, Digest.of(b"blob"))


@pytest.fixture
def cache(tmp_path: Path) -> PieceCache:
    found = PieceCache(tmp_path / "pieces", 10 * MIB, 600.0)
    found.prepare()
    return found


def begun(cache: PieceCache, number: int = 1) -> tuple[Piece, PieceFile]:
    """Begin the second piece, which has ten bytes."""
    name = PieceName(BLOB, piece_at(number * MIB))
    piece, file = Piece(name), cache.open(name)
    file.begin(MIB + 10, 10)
    piece.begin(file, MIB + 10, 10)
    return piece, file


async def read(piece: Piece, start: int, stop: int) -> bytes:
    extent = await piece.extent(start, stop)
    return os.pread(extent.file.fileno(), extent.length, extent.offset)


async def test_n17_02_a_piece_is_read_while_it_grows_by_places_in_the_blob(cache: PieceCache) -> None:
    piece, file = begun(cache)
    assert (await piece.head(), piece.stop, piece.is_whole) == (MIB + 10, MIB + 10, False)
    reading = asyncio.create_task(read(piece, MIB + 4, MIB + 100))
    file.write(0, b"0123")
    piece.reach(4)
    await asyncio.sleep(0)
    assert reading.done() is False
    file.write(4, b"456789")
    piece.reach(10)
    assert (await reading, piece.is_whole) == (b"456789", True)
    piece.end()
    assert file.file.closed


async def test_n17_02_its_file_stays_open_for_whoever_reads_it(cache: PieceCache) -> None:
    piece, file = begun(cache)
    piece.join()
    piece.reach(10)
    piece.end()
    before = file.file.closed
    piece.leave()
    assert (before, file.file.closed) == (False, True)
    with pytest.raises(UnservedError, match="closed"):
        await piece.extent(MIB, MIB + 1)


async def test_n17_03_a_piece_in_a_new_file_keeps_the_old_one_for_reads_that_are_on_their_way(cache: PieceCache) -> None:
    piece, file = begun(cache)
    piece.join()
    piece.reach(10)
    old = await piece.extent(MIB, MIB + 10)
    file.drop()
    piece.restart()
    waiting = asyncio.create_task(read(piece, MIB, MIB + 10))
    await asyncio.sleep(0)
    assert not waiting.done(), "what is in the old file is not to be had from the new one yet"
    new = cache.open(piece.name)
    piece.begin(new, MIB + 10, 10)
    assert piece.reads(new)
    assert piece.reads(file)
    assert not old.file.closed
    new.write(0, b"abcdefghij")
    piece.reach(10)
    assert await waiting == b"abcdefghij"
    piece.end()
    piece.leave()
    assert (old.file.closed, new.file.closed) == (True, True)


async def test_n17_20_a_blob_has_one_size(cache: PieceCache) -> None:
    piece, file = begun(cache)
    with pytest.raises(UnservedError, match="two sizes"):
        piece.begin(file, MIB + 11, 11)
    piece.end()


async def test_n17_02_what_keeps_a_piece_from_coming_is_told_to_all_who_wait(cache: PieceCache) -> None:
    piece, _ = begun(cache)
    readers = [asyncio.create_task(read(piece, MIB, MIB + 10)) for _ in range(2)]
    await asyncio.sleep(0)
    piece.fail(Throttled("wait", 3.0))
    piece.end()
    for each in readers:
        with pytest.raises(Throttled):
            await each
    short, _ = begun(cache, 2)
    short.end()
    with pytest.raises(UnservedError, match="ended short"):
        await short.extent(2 * MIB, 2 * MIB + 1)


async def test_n17_03_who_is_at_work_on_a_piece_that_does_not_grow_shows_it_to_this_process_and_others(
    cache: PieceCache, tmp_path: Path
) -> None:
    """Of one that grows, others see that; of one that nobody is at work on, nothing is shown."""
    run = DiskThreads(tmp_path, 60.0)
    at_work = AtWork(run)
    (piece, file), (growing, second), (left, third) = begun(cache, 0), begun(cache, 1), begun(cache, 2)
    theirs = cache.open(piece.name)
    theirs.written()
    before = theirs.modified
    showing = asyncio.create_task(at_work.show())
    with at_work.on(piece, file), at_work.on(growing, second):
        with at_work.on(left, third):
            pass
        async with asyncio.timeout(100):
            while piece.beats < 2:
                growing.reach(growing.written + 1)
                await asyncio.sleep(0.01)
    showing.cancel()
    assert (growing.beats, left.beats) == (0, 0)
    theirs.written()
    assert theirs.modified > before
    for each in (file, second, third, theirs):
        each.close()
    file.touch()
    run.close()


async def test_n17_13_a_piece_that_was_wrong_is_read_anew_and_not_on(cache: PieceCache) -> None:
    piece, file = begun(cache)
    piece.is_checked = False
    piece.reach(4)
    first = piece.attempt
    checking, standing = asyncio.create_task(piece.checked()), asyncio.create_task(piece.stands(first))
    reading = asyncio.create_task(piece.extent(MIB + 4, MIB + 10, first))
    piece.reach(10)
    await reading
    piece.reject()
    assert await standing is False
    assert (piece.size, piece.written, piece.is_whole) == (None, 0, False)
    with pytest.raises(UnservedError):
        await piece.extent(MIB, MIB + 10, first)
    file.discard()
    again = cache.open(piece.name)
    again.begin(MIB + 20, 20)
    piece.begin(again, MIB + 20, 20)
    again.write(0, bytes(20))
    piece.reach(20)
    assert not checking.done()
    piece.approve(None)
    assert await checking == MIB + 20
    assert await piece.stands(piece.attempt)
    piece.end()
    assert file.file.closed
    assert again.file.closed


async def test_n17_13_who_waits_for_a_piece_to_be_checked_is_told_why_it_never_is(cache: PieceCache) -> None:
    piece, _ = begun(cache)
    piece.is_checked = False
    waiting = [asyncio.create_task(piece.checked()), asyncio.create_task(piece.stands(piece.attempt))]
    await asyncio.sleep(0)
    piece.fail(UnservedError("nobody has it"))
    piece.end()
    for each in waiting:
        with pytest.raises(UnservedError, match="nobody has it"):
            await each
