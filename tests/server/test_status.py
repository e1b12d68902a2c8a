"""What workers report, and what it comes to."""

import json
from dataclasses import replace

import pytest

from regproxy.ports import HostStatus, Registry
from regproxy.server.status import ReportedRegistries, Standing, WorkerStatus, merged

HOST = HostStatus("https://a.example", 1, 0.0, 0.1, 1e6, 0.0, 0, honours_ranges=True, last_error="")
OTHER = replace(HOST, url="https://b.example", rank=2, first_byte=None, bytes_per_second=None)


def test_a_report_arrives_as_it_was_sent() -> None:
    standing = Standing(False, True, (HOST, OTHER))
    report = WorkerStatus(True, {"docker.io": standing}, "no space left", (), {"http://a": "it fell silent"}, {"http://a": (1, 2)})
    assert WorkerStatus.parse(json.loads(json.dumps(report.document()))) == report


def test_what_one_worker_suffered_is_told_of_all() -> None:
    """Their clients are the same, and so is the way to the host."""
    hurt = replace(HOST, backoff_seconds=3.0, failures=2.0, corrupt_responses=1, honours_ranges=False, last_error="reset")
    (found,) = merged([[HOST], [hurt], [replace(HOST, corrupt_responses=2)]])
    assert (found.backoff_seconds, found.failures, found.corrupt_responses, found.honours_ranges, found.last_error) == (
        3.0,
        2.0,
        3,
        False,
        "reset",
    )


def test_what_was_measured_is_what_is_usual() -> None:
    (found,) = merged([[replace(HOST, first_byte=seconds)] for seconds in (0.1, None, 0.3, 9.0)])
    assert (found.first_byte, found.bytes_per_second) == (0.3, 1e6)


def test_the_best_for_most_comes_first() -> None:
    first, second = replace(OTHER, rank=1), replace(HOST, rank=2)
    assert [(host.url, host.rank) for host in merged([[HOST, OTHER], [first, second], [first, second]])] == [(OTHER.url, 1), (HOST.url, 2)]


def test_nothing_is_known_before_a_worker_reports() -> None:
    assert merged([]) == []


def test_n19_02_registries_of_patterns_that_a_worker_has_opened_are_listed() -> None:
    """None of them is opened for that here; those that the configuration has no more are left out."""

    class Known(dict[str, Registry]):
        def __contains__(self, name: object) -> bool:
            return name == "a.reg.example"

    reports = [WorkerStatus(True, {name: Standing(False, True, (HOST,)) for name in ("a.reg.example", "gone.example")})]
    found = ReportedRegistries(Known(), lambda: reports)
    assert list(found) == ["a.reg.example"]
    assert (len(found), found["a.reg.example"].is_scarce, found["a.reg.example"].hosts()) == (1, True, [HOST])
    with pytest.raises(KeyError):
        found["gone.example"]
