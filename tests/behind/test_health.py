"""An object store that fails is left alone for a while."""

from regproxy.behind.health import Health


def test_n17_04_it_is_left_alone_after_some_failures_and_tried_by_one() -> None:
    now = [100.0]
    health = Health(lambda: now[0])
    for _ in range(2):
        health.failed("broken")
        assert health.may_ask()
    health.failed("broken")
    assert not health.may_ask()
    now[0] += 15.0
    assert health.may_ask()
    assert not health.may_ask()
    assert health.trouble == "broken"
    health.answered()
    assert health.may_ask()
    assert health.trouble is None


def test_n17_04_a_success_forgets_failures() -> None:
    health = Health(lambda: 0.0)
    for _ in range(5):
        health.failed("broken")
        health.failed("broken")
        health.answered()
        assert health.may_ask()
