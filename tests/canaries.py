"""Row S26, over the whole run: every secret of the tests has a canary in it, and none may be told.

Looked at are, after each test: all that was logged meanwhile, at DEBUG and in the form that we print; what programs printed; their logs,
and every file of every store, below the test's folder; the metrics. `Rig.ask` looks at what clients are told. A test that let a canary
out fails by name.
"""

import logging
from collections.abc import Generator
from pathlib import Path

import pytest

from regproxy.telemetry import metrics
from regproxy.telemetry.log import JsonLines
from tests.canary import found_below, told


class _Listener(logging.Handler):
    """Hears everything that is logged, and remembers what should not have been."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.setFormatter(JsonLines())
        self.heard: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if (found := told(self.format(record))) is not None:
            self.heard.append(f"logged: {found}")


_listener = _Listener()


def pytest_sessionstart() -> None:
    root = logging.getLogger()
    root.addHandler(_listener)
    logging.getLogger("regproxy").setLevel(logging.DEBUG)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, pytest.TestReport, None]:
    """Fail a test that let a canary out."""
    report = (yield).get_result()
    found = [*_listener.heard, *(f"printed: {each}" for each in map(told, (report.capstdout, report.capstderr)) if each)]
    _listener.heard.clear()
    if call.when == "call" and isinstance(item, pytest.Function):
        found += [f"in the metrics: {each}" for each in [told(metrics.exposition()[0])] if each]
        folder = item.funcargs.get("tmp_path")
        found += found_below(folder) if isinstance(folder, Path) else []
    if found and report.outcome == "passed":
        report.outcome = "failed"
        report.longrepr = "a secret was told (S26): " + "\n".join(found)
