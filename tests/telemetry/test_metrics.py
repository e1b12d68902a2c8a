"""What a registry of a pattern is counted under: its name is a client's to choose."""

from collections.abc import Iterator

import pytest
from prometheus_client import Counter

from regproxy.telemetry import metrics

BY_UPSTREAM = [
    name for name, each in vars(metrics).items() if isinstance(each, Counter) and each._labelnames and each._labelnames[0] == "upstream"
]


@pytest.fixture(autouse=True)
def _pattern() -> Iterator[None]:
    metrics.label_upstreams(lambda name: "*.pkg.test" if name.endswith(".pkg.test") else name)
    yield
    metrics.label_upstreams(str)


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
