import pytest

from regproxy.policy.upstream.throughput import BESIDE_OTHERS, LOOK, Throughput, slow_timeout

LEAST = 1000


def _looks(*rates: float) -> Throughput:
    pace = Throughput(LEAST)
    for rate in rates:
        pace.received(int(rate * LOOK), LOOK)
        assert pace.is_over
        pace.look()
    return pace


@pytest.mark.parametrize(
    ("rates", "slow_for"),
    [
        pytest.param([LEAST], 0, id="just enough"),
        pytest.param([LEAST - 1] * 3, 3 * LOOK, id="a trickle"),
        pytest.param([0, 0, LEAST, 0], LOOK, id="only what is slow without a break counts"),
    ],
)
def test_slow_seconds_are_counted_in_a_row(rates: list[float], slow_for: float) -> None:
    assert _looks(*rates).slow_for == slow_for


def test_a_look_is_over_after_some_waiting_however_much_came() -> None:
    pace = Throughput(LEAST)
    pace.received(100 * LEAST, LOOK / 2)
    assert not pace.is_over


def test_a_trickle_is_borne_for_less_where_somebody_else_can_send_the_rest() -> None:
    assert slow_timeout(30.0, has_others=False) == 30.0
    assert slow_timeout(30.0, has_others=True) == BESIDE_OTHERS
    assert slow_timeout(1.0, has_others=True) == 1.0
