"""Parts are asked for together where that costs less."""

import pytest

from regproxy.policy.upstream.coalescing import MAX_WASTE, NEAR, Place, coalesced

MIB = 1024 * 1024


@pytest.mark.parametrize(
    ("places", "sizes"),
    [
        pytest.param([(0, 10)], [1], id="one"),
        pytest.param([(0, None)], [1], id="one to the end"),
        pytest.param([(0, 10), (10, 20)], [2], id="touching"),
        pytest.param([(0, 10), (10 + NEAR, 20 + NEAR)], [2], id="near"),
        pytest.param([(0, 10), (11 + NEAR, 20 + NEAR)], [1, 1], id="not near"),
        pytest.param([(0, 10), (5, 20)], [1, 1], id="overlapping"),
        pytest.param([(100, 110), (0, 10)], [1, 1], id="backwards"),
        pytest.param([(0, 10), (20, None)], [2], id="the last to the end"),
    ],
)
def test_parts_that_touch_or_are_near_are_asked_for_together(places: list[Place], sizes: list[int]) -> None:
    groups = coalesced(places, 16)
    assert groups is not None
    assert [len(group) for group in groups] == sizes
    assert [place for group in groups for place in group] == places


def test_n12_12_the_nearest_are_joined_where_there_are_too_many() -> None:
    places: list[Place] = [(0, 1), (300_000, 300_001), (400_000, 400_001), (700_000, 700_001)]
    assert coalesced(places, 3) == [[(0, 1)], [(300_000, 300_001), (400_000, 400_001)], [(700_000, 700_001)]]
    assert coalesced(places, 4) == [[place] for place in places]


def test_n12_12_what_would_be_fetched_in_vain_is_bounded() -> None:
    """Or a request for a kilobyte would have a gigabyte fetched each time."""
    assert coalesced([(at * MIB, at * MIB + 1) for at in range(1000)], 16) is None
    assert coalesced([(at * NEAR, at * NEAR + 1) for at in range(MAX_WASTE // NEAR + 2)], 16) is None
    assert coalesced([(at * 2 * MIB, at * 2 * MIB + MIB) for at in range(20)], 16) is not None, "most of it is wanted"


def test_n12_12_parts_that_cannot_be_joined_are_not_asked_for_one_by_one() -> None:
    assert coalesced([(at, at + 1) for at in range(100, 0, -1)], 16) is None
