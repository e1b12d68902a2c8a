"""The history of the admin page: it reaches back to the start, and never grows past its bound."""

from collections.abc import Iterator
from itertools import count

from regproxy.telemetry.history import MAX_BYTES, History


def test_n15_14_the_history_reaches_back_to_the_start_and_is_bounded_in_bytes() -> None:
    seconds: Iterator[int] = count(1000, 5)
    taken = count()
    history = History(lambda: {f"requests.{number}": float(next(taken)) for number in range(100)}, lambda: float(next(seconds)))
    for _ in range(5000):
        history.take()
        assert history.size <= MAX_BYTES
    everything, recent = history.document(since_start=True), history.document(since_start=False)
    assert everything["started_at"] == 1000
    for document, begins in ((everything, 1005), (recent, 1005 + 5 * (5000 - 360))):
        at, series = document["at"], document["series"]
        assert isinstance(at, list)
        assert isinstance(series, dict)
        assert at[0] == begins
        assert at == sorted(at)
        assert 180 <= len(at) <= 360
        assert at[-1] > 1000 + 5 * 5000 - 5 * 32
        assert len(series) == 48
        assert all(len(values) == len(at) and values == sorted(values) for values in series.values())


def test_n15_14_a_series_seen_late_was_zero_and_one_that_is_gone_stays_what_it_was() -> None:
    totals = [{"a": 1.0}, {"a": 2.0, "b": 5.0}, {"b": 6.0}]
    rest = iter(totals)
    history = History(lambda: next(rest), lambda: 0.0)
    for _ in totals:
        history.take()
    assert history.document(since_start=True)["series"] == {"a": [1, 2, 2], "b": [0, 5, 6]}
