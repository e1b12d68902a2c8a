"""A store that takes nothing says so once in a while."""

import pytest

from regproxy.ports import Full, Oversized
from regproxy.storage.trouble import Trouble


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
