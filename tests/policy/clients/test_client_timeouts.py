"""When a client that takes its time is one that takes nothing."""

from regproxy.policy.clients.client_timeouts import ClientTimeouts, SendProgress


def test_a_client_that_takes_something_is_never_stuck() -> None:
    progress = SendProgress(0.0)
    assert [progress.stuck_for(now, taken, 100) for now, taken in ((50, 1), (100, 2), (150, 3))] == [0, 0, 0]


def test_a_client_that_takes_nothing_is_stuck_since_its_last_byte() -> None:
    progress = SendProgress(0.0)
    progress.stuck_for(10, 1000, 100)
    assert [progress.stuck_for(now, 1000, 100) for now in (20, 70)] == [10, 60]


def test_a_client_that_waits_for_us_is_not_stuck() -> None:
    progress = SendProgress(0.0)
    assert [progress.stuck_for(now, 1000, 0) for now in (10, 100, 1000)] == [0, 0, 0]
    assert progress.stuck_for(1030, 1000, 1) == 30


def test_progress_is_looked_at_several_times_before_it_counts_as_none() -> None:
    assert ClientTimeouts(progress=60.0).look == 15.0
