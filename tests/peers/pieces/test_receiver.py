"""Who is to blame for a piece, and what is written of it; whole transfers: tests/faults/test_fleet_liars.py and test_fleet_members.py."""

from pathlib import Path

import pytest

from regproxy.oci.digest import Digest
from regproxy.oci.reference import Repository
from regproxy.peers.names import Blob, PieceName
from regproxy.peers.pieces.cache import PieceCache
from regproxy.peers.pieces.piece import Piece
from regproxy.peers.pieces.receiver import Delivery, PieceWriter
from regproxy.peers.pieces.trailer import Trailer, Word
from regproxy.policy.fleet.cut import MIB, piece_at
from regproxy.storage.threads import DiskThreads


@pytest.mark.parametrize(
    ("delivery", "blamed"),
    [
        (Delivery({"a"}, trailer=Trailer.of(None)), "a"),
        (Delivery({"a", "b"}, trailer=Trailer.of(None)), None),
        (Delivery({"a"}, is_continued=True, trailer=Trailer.of(None)), None),
        (Delivery({"a"}, trailer=Trailer(Word.WRONG)), None),
        (Delivery({"a"}), None),
        (Delivery(), None),
    ],
)
def test_n17_13_who_sent_all_of_a_piece_and_stands_by_it_is_to_blame(delivery: Delivery, blamed: str | None) -> None:
    assert delivery.claimed_by == blamed


async def test_n17_13_no_more_is_written_than_belongs_to_a_piece(tmp_path: Path) -> None:
    run, name = DiskThreads(tmp_path, 60.0), PieceName(Blob(Repository("docker.io", "library/app"), Digest.of(b"")), piece_at(0))
    cache, piece = PieceCache(tmp_path / "pieces", MIB, 600.0), Piece(name)
    cache.prepare()
    file = cache.open(name)
    writer = PieceWriter(piece, file, run)
    await writer.begin(10)
    await writer.put(b"01234")
    await writer.put(b"56789and more")
    assert (piece.written, piece.is_whole, file.length) == (10, True, 10)
    assert file.file.seek(0, 2) - file.offset == 10
    file.drop()
    file.close()
    run.close()
