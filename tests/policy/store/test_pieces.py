"""The pieces of a blob in an object store."""

import pytest

from regproxy.policy.store.pieces import MAX_BLOB, PieceSums, hash_of, piece_size

MIB = 1024 * 1024


def sums(body: bytes) -> PieceSums:
    piece = piece_size(len(body))
    return PieceSums(len(body), piece, b"".join(hash_of(body[start : start + piece]) for start in range(0, len(body), piece)))


@pytest.mark.parametrize(("size", "piece"), [(0, MIB), (1, MIB), (1024 * MIB, MIB), (1024 * MIB + 1, 2 * MIB), (MAX_BLOB, 4 * MIB)])
def test_n17_04_pieces_are_small_and_not_too_many(size: int, piece: int) -> None:
    assert piece_size(size) == piece


def test_n17_04_each_piece_is_known_by_its_place() -> None:
    body = b"a" * MIB + b"b" * MIB + b"c" * 10
    found = sums(body)
    assert found.is_right(0, body[:MIB])
    assert found.is_right(MIB, bytearray(body[MIB : 2 * MIB]))
    assert found.is_right(2 * MIB, memoryview(body)[2 * MIB :])
    assert not found.is_right(0, body[MIB : 2 * MIB])
    assert not found.is_right(2 * MIB, b"c" * 9)
    assert not found.is_right(3 * MIB, b"")


@pytest.mark.parametrize(
    ("start", "stop", "bounds", "lengths"),
    [
        (0, 2 * MIB + 10, (0, 2 * MIB + 10), [MIB, MIB, 10]),
        (0, 1, (0, MIB), [MIB]),
        (MIB - 1, MIB + 1, (0, 2 * MIB), [MIB, MIB]),
        (MIB, 2 * MIB, (MIB, 2 * MIB), [MIB]),
        (2 * MIB + 5, 2 * MIB + 6, (2 * MIB, 2 * MIB + 10), [10]),
    ],
)
def test_n17_04_whole_pieces_are_read_for_any_part(start: int, stop: int, bounds: tuple[int, int], lengths: list[int]) -> None:
    found = sums(bytes(2 * MIB + 10))
    assert found.bounds(start, stop) == bounds
    assert list(found.lengths(*bounds)) == lengths


@pytest.mark.parametrize(
    ("size", "piece", "hashes"), [(1, MIB, b""), (1, MIB, bytes(64)), (1, 2 * MIB, bytes(32)), (-1, MIB, b""), (MAX_BLOB + 1, 4 * MIB, b"")]
)
def test_n17_04_hashes_that_do_not_fit_are_none(size: int, piece: int, hashes: bytes) -> None:
    with pytest.raises(ValueError, match="pieces"):
        PieceSums(size, piece, hashes)
