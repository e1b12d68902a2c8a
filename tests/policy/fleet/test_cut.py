from hypothesis import given
from hypothesis import strategies as st

from regproxy.policy.fleet.cut import FIRST, MIB, piece_at

OFFSETS = st.integers(0, 20 * 1024 * MIB)


@given(OFFSETS)
def test_n17_01_a_piece_holds_its_offset_and_is_the_same_from_each_of_its_bytes(offset: int) -> None:
    piece = piece_at(offset)
    assert piece.start <= offset < piece.stop
    assert piece_at(piece.start) == piece_at(piece.stop - 1) == piece


@given(OFFSETS)
def test_n17_01_pieces_follow_each_other_and_are_numbered_in_a_row(offset: int) -> None:
    piece = piece_at(offset)
    following = piece_at(piece.stop)
    assert following.start == piece.stop
    assert following.number == piece.number + 1


def test_n17_01_pieces_are_small_where_most_blobs_end() -> None:
    assert piece_at(0).stop == FIRST
    sizes = {offset: piece_at(offset).stop - piece_at(offset).start for offset in (0, 64 * MIB - 1, 64 * MIB, 4096 * MIB - 1, 4096 * MIB)}
    assert list(sizes.values()) == [MIB, MIB, 4 * MIB, 4 * MIB, 16 * MIB]
