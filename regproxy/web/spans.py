"""The spans of requests: what they say, and those of responses that are given again from memory."""

import time
from collections.abc import Mapping, Sequence

from aiohttp import web
from multidict import CIMultiDictProxy

from regproxy.oci.http.trace_context import TraceContext, parse_trace_context
from regproxy.telemetry import tracing
from regproxy.telemetry.log import Told
from regproxy.telemetry.tracing import Attribute, Span, SpanKind
from regproxy.web.access_log import AccessLogEntry
from regproxy.web.context import RequestContext

_CLIENT_LEFT = 499
_MAX_PATH_CHARACTERS = 512
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def received_trace(headers: CIMultiDictProxy[str]) -> TraceContext | None:
    """Return the trace that a client says its request belongs to."""
    if "traceparent" not in headers:
        return None
    return parse_trace_context(headers.getall("traceparent"), headers.getall("tracestate", ()))


def describe(span: Span, request: web.BaseRequest, context: RequestContext, response: web.StreamResponse | None) -> None:
    """Say in *span* what became of a request, by OpenTelemetry's names (semantic conventions for HTTP) and ours."""
    attributes = _attributes(request, context, response)
    _fill(span, attributes, context.request_id, request.remote or "")


class TracedEntry(AccessLogEntry):
    """An access log entry that exports a span each time its response is given again."""

    __slots__ = ("_attributes",)

    def __init__(self, request: web.BaseRequest, context: RequestContext, response: web.StreamResponse) -> None:
        super().__init__(request, context, response)
        self._attributes = _attributes(request, context, response)

    def tell(self, responses: Sequence[Told]) -> None:
        super().tell(responses)
        for request_id, client, seconds in responses:
            if (span := tracing.record("repeated request", SpanKind.SERVER, time.time() - seconds)) is not None:
                with span:
                    _fill(span, self._attributes, request_id, client)


def _attributes(request: web.BaseRequest, context: RequestContext, response: web.StreamResponse | None) -> Mapping[str, Attribute]:
    status = response.status if response is not None else _CLIENT_LEFT
    return {
        "http__request__method": request.method if request.method in _METHODS else "_OTHER",
        "http__response__status_code": status,
        "url__path": request.raw_path.partition("?")[0][:_MAX_PATH_CHARACTERS],
        "regproxy__endpoint": context.endpoint,
        "regproxy__upstream": context.upstream,
        "regproxy__outcome": context.outcome(status) if response is not None else "client_closed",
    }


def _fill(span: Span, attributes: Mapping[str, Attribute], request_id: str, client: str) -> None:
    span.rename(f"{attributes['http__request__method']} {attributes['regproxy__endpoint']}")
    span.annotate(**attributes, regproxy__request_id=request_id, client__address=client)
    status = attributes["http__response__status_code"]
    if isinstance(status, int) and status >= 500:
        span.fail(str(status))
