"""What operators have to know, and cannot find out before the night in which they need it."""

import re

from prometheus_client.metrics import MetricWrapperBase

from regproxy.telemetry import metrics

from .blocks import ROOT


def test_n13_25_what_helps_where_every_process_stands_still_is_documented() -> None:
    """`dial_timeout` does not: the kernel takes connections for a stopped process."""
    told = [paragraph for paragraph in (ROOT / "docs" / "clients.md").read_text().split("\n\n") if "SIGSTOP" in paragraph]
    assert len(told) == 1
    for word in ("`dial_timeout`", "`image_pull_progress_timeout`", "`/healthz`"):
        assert word in told[0]


def test_every_metric_is_documented_and_no_other() -> None:
    page = (ROOT / "docs" / "operations.md").read_text()
    told = re.findall(r"^\| `(regproxy_\w+)` \|", page, re.MULTILINE)
    families = [each for each in vars(metrics).values() if isinstance(each, MetricWrapperBase)]
    names = [family.name for each in families for family in each.describe()]
    assert sorted(name.removesuffix("_total") for name in told) == sorted(names)


def test_every_line_of_the_log_that_the_runbook_names_is_in_the_code() -> None:
    page = (ROOT / "docs" / "operations.md").read_text()
    code = "".join(path.read_text() for path in (ROOT / "regproxy").rglob("*.py"))
    told = re.findall(r"\*\*[Ll]og\*\* `([^`]+)`", page)
    assert [line for line in told if f'"{line}"' not in code] == []
