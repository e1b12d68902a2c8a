import os
import struct
import time
from hashlib import sha256
from pathlib import Path

import pytest

from regproxy.oci.digest import Digest
from regproxy.oci.reference import Repository
from regproxy.peers.names import Blob, PieceName
from regproxy.peers.pieces.cache import Hold, PieceCache, PieceFile
from regproxy.policy.fleet.cut import MIB, piece_at
from regproxy.policy.fleet.signed_hash import SignedHash

BLOB = Blob(Repository("docker.io", "library/app"), Digest.of(b"blob"))


def name(number: int = 0, blob: Blob = BLOB) -> PieceName:
    return PieceName(blob, piece_at(number * MIB))


def cache(root: Path, max_size: int = 10 * MIB, max_age: float = 600.0) -> PieceCache:
    found = PieceCache(root / "pieces", max_size, max_age)
    found.prepare()
    return found


def keep(pieces: PieceCache, body: bytes, number: int = 0, blob: Blob = BLOB) -> None:
    file = pieces.open(name(number, blob))
    file.begin(3 * MIB, len(body))
    file.write(0, body)
    file.keep()
    file.close()


def read(file: PieceFile) -> bytes:
    return os.pread(file.file.fileno(), file.length, file.offset)


def test_n17_02_one_process_writes_a_piece_and_others_read_along(tmp_path: Path) -> None:
    pieces = cache(tmp_path)
    ours = pieces.open(name())
    theirs = pieces.open(name())
    assert (ours.hold, theirs.hold, theirs.written()) == (Hold.OURS, Hold.THEIRS, 0)
    ours.begin(3 * MIB, 10)
    ours.write(0, b"01234")
    assert (theirs.followed(), theirs.size, theirs.length) == ((5, False), 3 * MIB, 10), "its writer lives"
    ours.write(5, b"56789")
    ours.keep()
    ours.close()
    assert theirs.followed() == (10, False), "it is whole"
    assert read(theirs) == b"0123456789"
    theirs.close()
    whole = pieces.open(name())
    assert (whole.hold, read(whole)) == (Hold.WHOLE, b"0123456789")
    whole.close()


def test_n17_02_who_read_along_goes_on_where_the_writer_died(tmp_path: Path) -> None:
    pieces = cache(tmp_path)
    ours, theirs = pieces.open(name()), pieces.open(name())
    ours.begin(3 * MIB, 10)
    ours.write(0, b"01234")
    ours.close()  # as the kernel does
    assert theirs.followed() == (5, True)
    theirs.write(5, b"56789")
    theirs.keep()
    assert read(theirs) == b"0123456789"
    theirs.close()


def test_n17_02_who_read_along_begins_anew_where_the_writer_gave_up(tmp_path: Path) -> None:
    pieces = cache(tmp_path)
    ours, theirs = pieces.open(name()), pieces.open(name())
    ours.drop()
    ours.close()
    with pytest.raises(FileNotFoundError):
        theirs.followed()
    theirs.close()
    again = pieces.open(name())
    assert again.hold is Hold.OURS
    again.drop()
    again.close()
    assert list((tmp_path / "pieces").iterdir()) == []


def test_n17_13_a_wrong_piece_is_removed_unless_another_process_is_at_work_on_it(tmp_path: Path) -> None:
    pieces = cache(tmp_path)
    ours, theirs = pieces.open(name()), pieces.open(name())
    assert not theirs.discard()
    ours.close()  # as the kernel does
    assert theirs.discard()
    again = pieces.open(name())
    assert again.hold is Hold.OURS
    assert theirs.discard(), "it is gone"
    assert again.path.exists()
    assert again.discard()
    assert list((tmp_path / "pieces").iterdir()) == []
    for each in (theirs, again):
        each.close()


def test_n17_02_pieces_are_few_and_young(tmp_path: Path) -> None:
    pieces = cache(tmp_path, max_size=450)
    for number in range(4):
        keep(pieces, b"x" * 100, number)
        path = max((tmp_path / "pieces").iterdir(), key=lambda each: each.stat().st_mtime_ns)
        os.utime(path, (time.time() - 100 + number,) * 2)
    assert pieces.sweep() == 2 * (100 + PieceFile.offset)
    held = pieces.open(name(3))
    assert held.hold is Hold.WHOLE, "the newest stay"
    held.close()
    assert cache(tmp_path, max_age=10.0).sweep() == 0
    stale = pieces.open(name(9))
    os.utime(stale.path, (time.time() - 3600,) * 2)
    pieces.sweep()
    assert stale.path.exists(), "somebody writes it"
    stale.close()
    pieces.sweep()
    assert not stale.path.exists()


def test_n17_02_a_piece_that_is_old_or_short_is_brought_again(tmp_path: Path) -> None:
    pieces = cache(tmp_path)
    keep(pieces, b"0123456789")
    (path,) = (tmp_path / "pieces").iterdir()
    path.write_bytes(path.read_bytes()[:-1])
    found = pieces.open(name())
    assert found.hold is Hold.OURS
    found.drop()
    found.close()
    keep(pieces, b"0123456789")
    old = cache(tmp_path, max_age=0.0).open(name())
    assert old.hold is Hold.OURS
    old.close()


def test_n17_02_a_blob_that_came_wrong_is_forgotten_and_no_other(tmp_path: Path) -> None:
    pieces, other = cache(tmp_path), Blob(Repository("docker.io", "library/other"), BLOB.digest)
    for blob in (BLOB, other):
        keep(pieces, b"0123456789", 0, blob)
        keep(pieces, b"0123456789", 1, blob)
    pieces.forget(BLOB)
    holds = []
    for blob in (BLOB, other):
        found = pieces.open(name(1, blob))
        holds.append(found.hold)
        found.close()
    assert holds == [Hold.OURS, Hold.WHOLE]


def test_n17_02_a_file_is_not_closed_under_a_write(tmp_path: Path) -> None:
    file = cache(tmp_path).open(name())
    with file._writing:
        file.close()
        still_open = file.file.closed is False
    assert still_open
    file.write(0, b"what was on its way")
    assert file.file.closed
    file.write(0, b"too late")


def test_n17_13_a_piece_that_was_signed_is_so_when_it_is_opened_again(tmp_path: Path) -> None:
    pieces, signed = cache(tmp_path), SignedHash(b"h" * 32, b"s" * 64)
    file = pieces.open(name())
    file.begin(100, 10)
    file.write(0, b"0123456789")
    assert file.hash() == sha256(b"0123456789").digest()
    file.sign(signed)
    file.keep()
    file.close()
    again = pieces.open(name())
    assert (again.hold, again.signed, again.hash()) == (Hold.WHOLE, signed, sha256(b"0123456789").digest())
    again.discard()
    again.close()
    assert hold(pieces) is Hold.OURS


def test_n17_13_a_piece_of_an_earlier_version_is_none(tmp_path: Path) -> None:
    """It has no room for a signed hash."""
    pieces = cache(tmp_path)
    keep(pieces, b"x" * 1000)
    (path,) = (tmp_path / "pieces").iterdir()
    path.write_bytes(struct.pack(">QQ", 1000, 1000) + b"x" * 1000)
    assert hold(pieces) is Hold.OURS


def hold(pieces: PieceCache) -> Hold:
    file = pieces.open(name())
    file.close()
    return file.hold
