"""What a registry of a pattern is counted under: its name is a client's to choose."""

from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry, Counter

from regproxy.telemetry import metrics

BY_UPSTREAM = [
    name for name, each in vars(metrics).items() if isinstance(each, Counter) and each._labelnames and each._labelnames[0] == "upstream"
]


@pytest.fixture(autouse=True)
def _pattern() -> Iterator[None]:
    with metrics.labelling_upstreams(lambda name: "*.pkg.test" if name.endswith(".pkg.test") else name):
        yield


@pytest.mark.parametrize("name", BY_UPSTREAM)
def test_n19_02_no_counter_has_a_label_for_each_registry_of_a_pattern(name: str) -> None:
    counter = getattr(metrics, name)
    others = ["x"] * (len(counter._labelnames) - 1)
    counter.labels("a.pkg.test", *others).inc()
    counter.labels("b.pkg.test", *others).inc()
    found = {sample.labels["upstream"] for family in counter.collect() for sample in family.samples}
    assert "*.pkg.test" in found
    assert not {"a.pkg.test", "b.pkg.test"} & found


def test_n19_02_the_counters_by_upstream_are_known() -> None:
    assert "SIGNATURES" in BY_UPSTREAM


@pytest.mark.parametrize(
    ("endpoint", "counted"),
    [("manifests", 1), ("blobs", 1), ("tags", 1), ("referrers", 1), ("ping", 0), ("token", 0), ("fleet", 0), ("catalog", 0), ("other", 0)],
)
def test_the_page_counts_requests_for_content_alone(endpoint: str, counted: int) -> None:
    before = metrics.totals()
    metrics.REQUESTS.labels(endpoint, "", "hit").inc()
    metrics.REQUESTS.labels(endpoint, "", "ok").inc()
    after = metrics.totals()
    assert [after.get(name, 0) - before.get(name, 0) for name in ("requests.hit", "requests.ok")] == [counted, counted]


def test_n17_10_the_page_draws_of_the_bytes_between_members_those_received() -> None:
    before = metrics.totals()
    metrics.FLEET_BYTES.labels("received").inc(5)
    metrics.FLEET_BYTES.labels("sent").inc(7)
    assert metrics.totals()["fleet_bytes"] - before["fleet_bytes"] == 5


def test_many_durations_at_once_are_observed_as_one_by_one() -> None:
    values = [0.0, 0.0009, 0.001, 0.0011, 0.005, 0.3, 299.0, 300.0, 301.0, 0.0009]
    together, singly = (
        metrics._Durations("seconds", "of a response", ["endpoint"], buckets=(0.001, 0.005, 300), registry=CollectorRegistry())
        for _ in range(2)
    )
    together.labels("blobs").observe_all(values)
    for value in values:
        singly.labels("blobs").observe(value)
    found, expected = (
        {(each.name, each.labels.get("le", "")): each.value for each in family.samples if "created" not in each.name}
        for histogram in (together, singly)
        for family in histogram.collect()
    )
    assert found == pytest.approx(expected)
    assert found["seconds_bucket", "0.001"] == 4, "what takes as long as a bucket's bound lies in it"


def test_n19_02_a_worker_that_does_not_come_to_serve_leaves_the_labels_of_the_one_that_does() -> None:
    with metrics.labelling_upstreams(str):
        assert metrics.upstream_label("a.pkg.test") == "a.pkg.test"
    assert metrics.upstream_label("a.pkg.test") == "*.pkg.test"
