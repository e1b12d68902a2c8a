"""The spans of requests: which trace they belong to, and what they say."""

from typing import Self

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict, CIMultiDictProxy

from regproxy.oci.http.cache_status import CacheStatus
from regproxy.oci.http.trace_context import TraceContext
from regproxy.telemetry.tracing import Attribute
from regproxy.web.context import RequestContext
from regproxy.web.spans import describe, received_trace

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Recorded:
    """A span that can be looked at (port Span)."""

    def __init__(self) -> None:
        self.name = ""
        self.attributes: dict[str, Attribute] = {}
        self.failure: str | None = None
        self.trace: TraceContext | None = None

    def rename(self, name: str) -> None:
        self.name = name

    def annotate(self, **attributes: Attribute) -> None:
        self.attributes |= attributes

    def fail(self, error_type: str) -> None:
        self.failure = error_type

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Record nothing more."""


def _described(method: str, path: str, context: RequestContext, response: web.StreamResponse | None) -> Recorded:
    span = Recorded()
    describe(span, make_mocked_request(method, path), context, response)
    return span


def test_a_span_is_named_after_what_was_asked_for() -> None:
    context = RequestContext(endpoint="blobs", upstream="docker.io", cache_status=CacheStatus.HIT)
    span = _described("GET", "/v2/a/blobs/x?ns=docker.io&token=canary", context, web.Response(status=200))
    assert (span.name, span.failure) == ("GET blobs", None)
    assert span.attributes["url__path"] == "/v2/a/blobs/x", "a query may hold what nobody may see"
    assert (span.attributes["regproxy__outcome"], span.attributes["regproxy__request_id"]) == ("hit", context.request_id)


@pytest.mark.parametrize(("status", "failure"), [(200, None), (404, None), (499, None), (502, "502")])
def test_only_our_own_failure_is_one(status: int, failure: str | None) -> None:
    assert _described("GET", "/", RequestContext(), web.Response(status=status)).failure == failure


def test_a_client_that_left_is_no_failure_and_a_strange_method_no_name() -> None:
    span = _described("PURGE", "/" + "x" * 10_000, RequestContext(), None)
    assert (span.name, span.attributes["http__response__status_code"]) == ("_OTHER other", 499)
    assert span.attributes["regproxy__outcome"] == "client_closed"
    assert len(str(span.attributes["url__path"])) == 512


@pytest.mark.parametrize(
    ("headers", "trace"),
    [
        ([], None),
        ([("traceparent", PARENT)], TraceContext("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", 1, "")),
        ([("traceparent", PARENT), ("traceparent", PARENT)], None),
        ([("traceparent", "canary")], None),
        ([("tracestate", "a=1")], None),
    ],
    ids=["none", "one", "two", "no trace", "a state alone"],
)
def test_a_request_belongs_to_the_one_trace_that_its_client_names(headers: list[tuple[str, str]], trace: TraceContext | None) -> None:
    assert received_trace(CIMultiDictProxy(CIMultiDict(headers))) == trace
