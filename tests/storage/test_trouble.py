"""A store that takes nothing says so once in a while."""

import pytest

from regproxy.ports import Full, Oversized
from regproxy.storage.trouble import Trouble
from regproxy.telemetry import metrics


def test_a_reason_lasts_until_something_is_kept_and_is_logged_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0
    trouble = Trouble(lambda: now)
    for now in (0.0, 59.0, 60.0):
        trouble.begin(Full(f"full at {now:.0f}"))
    assert (trouble.reason, caplog.text.count("takes nothing")) == ("full at 60", 2)
    trouble.end()
    trouble.end()
    assert (trouble.reason, caplog.text.count("takes content again")) == (None, 1)


def test_what_is_larger_than_the_store_is_no_trouble_of_it(caplog: pytest.LogCaptureFixture) -> None:
    trouble = Trouble()
    trouble.begin(Oversized("too large"))
    assert (trouble.reason, "takes nothing" in caplog.text) == (None, False)


def test_the_metric_is_that_of_all_stores_in_the_process() -> None:
    """A worker and its successor have one each."""
    before, after = Trouble(), Trouble()
    shown = []
    before.begin(Full("full"))
    after.begin(Full("full"))
    for forget in (before.forget, before.forget, after.end):
        shown.append(_refusing())
        forget()
    assert [*shown, _refusing()] == [1.0, 1.0, 1.0, 0.0]


def _refusing() -> float:
    return next(sample.value for family in metrics.STORE_REFUSING.collect() for sample in family.samples)
