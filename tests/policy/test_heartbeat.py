"""When a worker that does not report is taken for hung."""

from regproxy.policy.heartbeat import Heartbeat


def _reporting() -> Heartbeat:
    heartbeat = Heartbeat()
    heartbeat.reported()
    return heartbeat


def test_n12_14_a_worker_that_uses_no_processor_time_is_hung_after_six_beats() -> None:
    heartbeat = _reporting()
    assert [heartbeat.missed(1.0) for _ in range(7)] == [False] * 6 + [True]


def test_n12_14_a_worker_that_is_busy_is_not_hung() -> None:
    heartbeat = _reporting()
    assert not any(heartbeat.missed(number / 100) for number in range(60))
    heartbeat.reported()
    assert not any(heartbeat.missed(number / 100) for number in range(60, 120))


def test_n12_14_a_worker_that_never_ends_what_it_does_is_hung() -> None:
    heartbeat = _reporting()
    assert [heartbeat.missed(float(number)) for number in range(61)] == [False] * 60 + [True]


def test_n12_14_a_worker_that_gets_little_of_a_core_is_not_hung() -> None:
    """It had a hundredth of a second in every other beat."""
    heartbeat = _reporting()
    assert not any(heartbeat.missed(number // 2 / 100) for number in range(10))


def test_a_worker_that_starts_has_twenty_beats() -> None:
    heartbeat = Heartbeat()
    assert [heartbeat.missed(None) for _ in range(21)] == [False] * 20 + [True]


def test_a_log_line_tells_how_a_worker_was_hung() -> None:
    heartbeat = _reporting()
    heartbeat.missed(1.0)
    heartbeat.missed(2.0)
    assert repr(heartbeat) == "<Heartbeat 2 missed, 1 of them idle>"
