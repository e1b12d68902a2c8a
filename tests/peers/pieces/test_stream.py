import os
from pathlib import Path

import pytest

from regproxy.oci.digest import Digest
from regproxy.peers.exchange import Exchange
from regproxy.peers.names import Blob
from regproxy.peers.pieces.stream import PieceStream
from regproxy.policy.fleet.ahead import WINDOW
from regproxy.policy.fleet.cut import MIB
from regproxy.ports import NotFound
from tests.peers.parts import REPOSITORY, Given, exchange

WHOLE = os.urandom(3 * MIB + 12_345)
BLOB = Blob(REPOSITORY, Digest.of(WHOLE))


async def read(parts: Exchange, start: int, stop: int | None) -> bytes:
    stream = PieceStream(parts, BLOB, start, stop)
    try:
        await stream.open()
        assert stream.size == len(WHOLE)
        return b"".join([chunk async for chunk in stream.chunks()])
    finally:
        stream.close()


@pytest.mark.parametrize(("start", "stop"), [(0, None), (0, 1), (MIB - 1, MIB + 1), (5, 3 * MIB), (3 * MIB, 10 * MIB), (2 * MIB, 2 * MIB)])
async def test_n17_02_a_part_of_a_blob_is_read_from_its_pieces_in_order(tmp_path: Path, start: int, stop: int | None) -> None:
    async with exchange(tmp_path, Given(WHOLE)) as parts:
        assert await read(parts, start, stop) == WHOLE[start:stop]


async def test_n17_02_pieces_are_brought_once_however_often_they_are_read(tmp_path: Path) -> None:
    registry = Given(WHOLE)
    async with exchange(tmp_path, registry) as parts:
        for _ in range(3):
            assert await read(parts, 0, None) == WHOLE
    assert sorted(registry.asked) == [(number * MIB, (number + 1) * MIB) for number in range(4)]


async def test_n17_02_no_more_than_a_window_is_brought_ahead_of_who_reads(tmp_path: Path) -> None:
    large = bytes((WINDOW + 5) * MIB)
    registry = Given(large)
    async with exchange(tmp_path, registry) as parts:
        stream = PieceStream(parts, Blob(REPOSITORY, Digest.of(large)), 0, None)
        await stream.open()
        chunks = stream.chunks()
        await anext(chunks)
        assert max(start for start, _ in registry.asked) < WINDOW * MIB
        await chunks.aclose()
        stream.close()


async def test_n17_02_who_reads_several_blobs_brings_as_many_pieces_ahead_in_all(tmp_path: Path) -> None:
    """Else the layers of an image all come at the end of the time that the last one takes."""
    large = [os.urandom((WINDOW + 5) * MIB) for _ in range(3)]
    registry = Given(*large)
    async with exchange(tmp_path, registry) as parts:
        streams = [PieceStream(parts, Blob(REPOSITORY, Digest.of(each)), 0, None) for each in large]
        for each in streams:
            await each.open()
        for each in streams:
            chunks = each.chunks()
            await anext(chunks)
            await chunks.aclose()
        assert len(registry.asked) <= WINDOW
        for each in streams:
            each.close()
        assert not parts.streams


async def test_n17_02_what_upstream_refuses_is_raised_to_who_opens(tmp_path: Path) -> None:
    async with exchange(tmp_path, Given()) as parts:
        with pytest.raises(NotFound):
            await read(parts, 0, None)
