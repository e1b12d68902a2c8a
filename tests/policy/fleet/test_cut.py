from hypothesis import given
from hypothesis import strategies as st

from regproxy.policy.fleet.cut import FIRST, MAX_COUNTED, MIB, cuts, piece_at

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


@given(st.integers(0, 4096 * MIB))
def test_n17_10_a_blob_is_cut_to_its_end(size: int) -> None:
    found = list(cuts(size))
    assert found[0].start == 0
    assert found[-1].start <= size <= found[-1].stop
    assert [each.number for each in found] == list(range(len(found)))


def test_n17_10_a_blob_that_is_said_to_be_endless_is_counted_in_bounded_time() -> None:
    assert len(list(cuts(2**63 - 1))) == MAX_COUNTED
    assert len(list(cuts(1))) == 1
