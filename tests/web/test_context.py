"""What a request turned out to be, in words of a closed set."""

import pytest
from multidict import CIMultiDict

from regproxy.oci.http.cache_status import CacheStatus
from regproxy.policy.clients.token_bucket import Rate
from regproxy.web.context import RequestContext, new_request_id
from regproxy.web.not_found_limiter import NotFoundLimiter, Reservation


def test_each_request_has_an_id_of_its_own() -> None:
    ids = [RequestContext().request_id for _ in range(3)] + [new_request_id()]
    assert len(set(ids)) == 4
    assert len({each[:8] for each in ids}) == 1, "those of one process are known by it"


@pytest.mark.parametrize(
    ("status", "cache_status", "failure", "outcome"),
    [
        (200, CacheStatus.MISS, None, "miss"),
        (206, CacheStatus.PASSED, None, "passed"),
        (200, CacheStatus.HIT, "the file is shorter than it was", "aborted"),
        (200, None, None, "ok"),
        (404, None, None, "unknown"),
        (403, CacheStatus.HIT, None, "denied"),
        (416, CacheStatus.HIT, None, "invalid"),
        (502, None, "docker.io did not answer", "failed"),
    ],
)
def test_a_response_has_one_outcome(status: int, cache_status: CacheStatus | None, failure: str | None, outcome: str) -> None:
    assert RequestContext(cache_status=cache_status, failure=failure).outcome(status) == outcome


def test_of_a_parameter_the_first_value_counts() -> None:
    context = RequestContext(query={"n": ["1", "2"], "empty": []})
    assert [context.parameter(name) for name in ("n", "empty", "last")] == ["1", None, None]


def test_every_answer_says_who_gives_it_and_names_the_registry_that_is_meant() -> None:
    context, headers, plain = RequestContext(namespace="docker.io"), CIMultiDict[str](), CIMultiDict[str]()
    context.decorate(headers)
    RequestContext().decorate(plain)
    assert (headers["Server"], headers["X-Request-Id"], headers["OCI-Namespace"]) == ("regproxy", context.request_id, "docker.io")
    assert headers["Docker-Distribution-API-Version"] == "registry/2.0"
    assert "OCI-Namespace" not in plain


def test_what_was_found_has_cost_nothing() -> None:
    limiter = NotFoundLimiter(Rate(1, 3600), lambda: 0.0)
    first = limiter.ask("192.0.2.1", "one")
    assert isinstance(first, Reservation)
    RequestContext(reservation=first).found(CacheStatus.HIT)
    first.leave()
    assert isinstance(limiter.ask("192.0.2.1", "two"), Reservation)
