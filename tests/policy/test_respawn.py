import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regproxy.policy.respawn import STEADY, deaths_in_a_row, pause


def test_the_first_death_is_made_good_at_once() -> None:
    assert pause(deaths_in_a_row(0, 3.0)) == 0.0


def test_a_worker_that_keeps_dying_is_left_alone_longer_and_longer() -> None:
    assert [pause(deaths) for deaths in range(1, 10)] == [0.0, 0.5, 1.0, 2.0, 4.0, 5.0, 5.0, 5.0, 5.0]


@given(st.integers(0, 10_000))
def test_the_pause_never_shrinks_and_has_a_bound(deaths: int) -> None:
    assert 0.0 <= pause(deaths) <= pause(deaths + 1) <= 5.0


@pytest.mark.parametrize(("lived", "deaths"), [(0.0, 8), (STEADY - 1, 8), (STEADY, 1), (86_400.0, 1)])
def test_a_long_life_makes_earlier_deaths_forgotten(lived: float, deaths: int) -> None:
    assert deaths_in_a_row(7, lived) == deaths


def test_deaths_add_up() -> None:
    assert list(itertools.accumulate([1.0] * 4, deaths_in_a_row, initial=0)) == [0, 1, 2, 3, 4]
