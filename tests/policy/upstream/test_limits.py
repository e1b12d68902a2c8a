import pytest

from regproxy.oci.http.ratelimit import RateLimit
from regproxy.policy.upstream.limits import is_scarce, pause_after


@pytest.mark.parametrize(
    ("remaining", "age", "scarce"),
    [
        pytest.param(11, 0, False, id="above the floor"),
        pytest.param(10, 0, True, id="at the floor"),
        pytest.param(0, 3599, True, id="none, a moment before the window ends"),
        pytest.param(0, 3600, False, id="none, a window ago"),
    ],
)
def test_pulls_are_scarce_below_a_tenth_for_a_window_at_most(remaining: int, age: float, scarce: bool) -> None:
    assert is_scarce(RateLimit(100, remaining, 3600), age) is scarce


def test_without_a_limit_nothing_is_scarce() -> None:
    assert not is_scarce(None, 0)


@pytest.mark.parametrize(
    ("quota", "refused", "asked_for", "pause"),
    [
        pytest.param(None, False, None, 0, id="no limit"),
        pytest.param(RateLimit(100, 1, 3600), False, None, 0, id="one left"),
        pytest.param(RateLimit(100, 0, 3600), False, None, 60, id="none left"),
        pytest.param(RateLimit(100, 0, 10), False, None, 10, id="none left in a short window"),
        pytest.param(RateLimit(100, 0), False, None, 60, id="none left, no window"),
        pytest.param(None, True, None, 60, id="429"),
        pytest.param(None, True, 7, 7, id="429 with a pause"),
        pytest.param(None, True, 0, 0, id="429 that asks for no pause"),
        pytest.param(RateLimit(100, 0, 3600), True, 900, 900, id="429 with a long pause"),
    ],
)
def test_a_host_is_left_alone_as_long_as_it_asks_and_else_for_a_minute(
    quota: RateLimit | None, refused: bool, asked_for: float | None, pause: float
) -> None:
    assert pause_after(quota, refused=refused, asked_for=asked_for) == pause
