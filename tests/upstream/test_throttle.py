import pytest

from regproxy.oci.http.ratelimit import RateLimit
from regproxy.ports import Throttled
from regproxy.upstream.throttle import Throttle, Throttles


class Clock:
    """Stands still until told."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


async def test_a_shut_gate_tells_how_long_and_then_lets_one_probe_through() -> None:
    clock = Clock()
    throttle = Throttle("a.io", clock)
    throttle.note(None, refused=True, asked_for=30)
    clock.now += 10
    with pytest.raises(Throttled) as caught:
        async with throttle.passed():
            pass
    assert caught.value.retry_after == 20
    clock.now += 20
    async with throttle.passed():
        with pytest.raises(Throttled):
            async with throttle.passed():
                pass
        throttle.note(None, refused=False)
    async with throttle.passed(), throttle.passed():
        pass


async def test_a_probe_that_is_refused_shuts_it_again() -> None:
    clock = Clock()
    throttle = Throttle("a.io", clock)
    throttle.note(RateLimit(100, 0, 3600), refused=False)
    clock.now += 60
    async with throttle.passed():
        throttle.note(None, refused=True)
    assert throttle.pause == 60


async def test_a_probe_without_an_answer_leaves_the_next_one_to_probe() -> None:
    clock = Clock()
    throttle = Throttle("a.io", clock)
    throttle.note(None, refused=True, asked_for=1)
    clock.now += 1
    for _ in range(2):
        with pytest.raises(OSError, match="broken"):
            async with throttle.passed():
                raise OSError("broken")


async def test_a_late_answer_does_not_open_it() -> None:
    throttle = Throttle("a.io", Clock())
    throttle.note(None, refused=True, asked_for=30)
    throttle.note(RateLimit(100, 50, 3600), refused=False)
    assert throttle.pause == 30


def test_what_is_left_is_scarce_for_a_window() -> None:
    clock = Clock()
    throttle = Throttle("a.io", clock)
    throttle.note(RateLimit(100, 5, 3600), refused=False)
    assert throttle.is_scarce
    clock.now += 3600
    assert not throttle.is_scarce


def test_n12_11_each_origin_has_a_gate_and_those_remembered_are_bounded() -> None:
    throttles = Throttles("a.io", "https://a.io", ("manifest", "blob"))
    throttles.of("blob", "https://cdn.test").note(None, refused=True, asked_for=30)
    assert throttles.of("blob", "https://cdn.test").pause > 0
    assert [throttles.of("blob", "https://a.io").pause, throttles.of("manifest", "https://cdn.test").pause, throttles["blob"].pause] == [
        0,
        0,
        0,
    ]
    for number in range(10_000):
        throttles.of("blob", f"https://{number}.test")
    assert len(throttles._elsewhere) <= 64
