import pytest

from regproxy.policy.store.looking import pause


@pytest.mark.parametrize(("elapsed", "seconds"), [(0.0, 0.01), (0.2, 0.01), (0.5, 0.025), (1.0, 0.05), (100.0, 0.05)])
def test_what_takes_longer_is_looked_at_less_often(elapsed: float, seconds: float) -> None:
    assert pause(elapsed) == pytest.approx(seconds)
