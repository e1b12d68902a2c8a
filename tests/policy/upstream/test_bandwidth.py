"""How much of the line upstreams may take, by the time of day."""

import pytest

from regproxy.policy.clients.token_bucket import Rate
from regproxy.policy.upstream.bandwidth import LineRate, part_size

MIB = 2**20


@pytest.mark.parametrize(
    ("minute", "rate"), [(0, 9), (7 * 60 + 59, 9), (8 * 60, 5), (12 * 60, 5), (19 * 60, None), (22 * 60, 9), (1439, 9)]
)
def test_n19_03_the_last_time_that_was_reached_counts(minute: int, rate: int | None) -> None:
    """Before the first one it is that of the evening before."""
    found = LineRate(((8 * 60, 5 * MIB), (19 * 60, None), (22 * 60, 9 * MIB))).at(minute)
    assert found == (Rate(rate * MIB, rate * MIB) if rate is not None else None)


@pytest.mark.parametrize(("rate", "size"), [(256 * 1024, 16 * 1024), (2**30, 64 * 1024), (1024, 4 * 1024)])
def test_n19_03_parts_are_small_enough_for_many_downloads_to_have_their_turn(rate: int, size: int) -> None:
    assert part_size(Rate(rate, rate)) == size
