"""Parts come before fills, and fills are not starved."""

from hypothesis import given
from hypothesis import strategies as st

from regproxy.policy.clients.precedence import MAX_WAIT, Precedence, max_wait


def test_a_fill_waits_while_parts_are_wanted() -> None:
    precedence = Precedence(5, 5, 0.0)
    assert precedence.seconds(0.0, are_wanted=False) == 0
    assert precedence.seconds(1.0, are_wanted=True) == 5
    assert precedence.seconds(3.0, are_wanted=True) == 3
    assert precedence.seconds(4.0, are_wanted=False) == 0
    assert precedence.seconds(5.0, are_wanted=True) == 3


def test_a_fill_goes_on_after_the_limit_and_for_a_while() -> None:
    precedence = Precedence(5, 5, 0.0)
    waits = [precedence.seconds(float(now), are_wanted=True) > 0 for now in range(12)]
    assert waits == [True] * 5 + [False] * 3 + [True] * 3 + [False]


def test_a_fill_waits_no_longer_than_its_readers_would() -> None:
    assert max_wait(15) < 15 / 2
    assert max_wait(1) == 0.25
    assert max_wait(1000) == MAX_WAIT


@given(st.lists(st.tuples(st.floats(0.001, 10.0), st.booleans()), max_size=200))
def test_of_a_long_time_a_fill_has_half(looks: list[tuple[float, bool]]) -> None:
    precedence, now, waited = Precedence(5, 5, 0.0), 0.0, 0.0
    for pause, are_wanted in looks:
        waits = precedence.seconds(now, are_wanted=are_wanted)
        now += pause
        waited += min(waits, pause)
    assert waited <= 5 + now / 2
