"""What a client is told of an upstream's failure."""

import pytest

from regproxy import ports
from regproxy.ports import UpstreamError
from regproxy.web.failures import upstream_failure

FAILURES = [
    pytest.param(ports.NotFound("why"), 404, "NAME_UNKNOWN", None, id="not found"),
    pytest.param(ports.Refused("why"), 403, "DENIED", None, id="refused: never 401"),
    pytest.param(ports.Corrupt("why"), 502, "UNKNOWN", None, id="wrong bytes"),
    pytest.param(ports.InvalidContent("why"), 422, "MANIFEST_INVALID", None, id="ambiguous content"),
    pytest.param(ports.Throttled("why"), 503, "UNAVAILABLE", "60", id="throttled: never 429"),
    pytest.param(ports.Throttled("why", 0.2), 503, "UNAVAILABLE", "1", id="throttled for a moment"),
    pytest.param(ports.LocalResourceError("why"), 503, "UNAVAILABLE", "5", id="ours"),
    pytest.param(ports.Unavailable("why", timed_out=True), 504, "UNKNOWN", None, id="silent"),
    pytest.param(ports.Unavailable("why"), 502, "UNKNOWN", None, id="out of reach"),
]


@pytest.mark.parametrize(("failure", "status", "code", "retry_after"), FAILURES)
def test_each_failure_of_an_upstream_has_its_status(failure: UpstreamError, status: int, code: str, retry_after: str | None) -> None:
    told = upstream_failure(failure)
    assert (told.status, told.code, told.message, told.headers.get("Retry-After")) == (status, code, "why", retry_after)
