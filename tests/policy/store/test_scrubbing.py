"""Which shard's turn it is."""

import pytest

from regproxy.policy.store.scrubbing import SHARDS, turn

PERIOD = 256.0 * 60


def test_every_shelf_has_its_turn_once_in_a_period() -> None:
    assert [turn(minute * 60.0, PERIOD).shard for minute in range(256)] == list(SHARDS)


@pytest.mark.parametrize("now", [0.0, 59.9, 1e9, 1.7e9 + 0.5])
def test_a_turn_ends_in_the_future_and_not_far_from_now(now: float) -> None:
    assert 0 < turn(now, PERIOD).ends_at - now <= 60


def test_a_restart_goes_on_where_it_was() -> None:
    assert turn(1e9, PERIOD) == turn(1e9 + 1, PERIOD)
