"""What operators have to know, and cannot find out before the night in which they need it."""

from .blocks import ROOT


def test_n13_25_what_helps_where_every_process_stands_still_is_documented() -> None:
    """`dial_timeout` does not: the kernel takes connections for a stopped process."""
    told = [paragraph for paragraph in (ROOT / "docs" / "clients.md").read_text().split("\n\n") if "SIGSTOP" in paragraph]
    assert len(told) == 1
    for word in ("`dial_timeout`", "`image_pull_progress_timeout`", "`/healthz`"):
        assert word in told[0]
