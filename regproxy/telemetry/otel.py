"""Spans by OpenTelemetry, to a collector by OTLP over HTTP: the only module that knows its SDK.

Endpoint, headers, sampler, batch and resource come from the SDK's own variables (`OTEL_*`). Its queue is bounded, and a thread of its own
sends it: a collector that is slow or away costs spans and no request.
"""

import asyncio
import threading
from types import TracebackType
from typing import Final, Self

from opentelemetry import trace as api
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace.span import TraceState

from regproxy import __version__
from regproxy.oci.http.trace_context import TraceContext
from regproxy.telemetry.tracing import Attribute, SpanKind

_FLUSH_SECONDS = 2.0  # that the end waits for a collector
_NANOSECONDS = 1_000_000_000
_KINDS: Final = {SpanKind.SERVER: api.SpanKind.SERVER, SpanKind.CLIENT: api.SpanKind.CLIENT, SpanKind.INTERNAL: api.SpanKind.INTERNAL}


class OpenTelemetrySpan:
    """A span of the SDK."""

    __slots__ = ("_span", "trace")

    def __init__(self, span: api.Span) -> None:
        self._span = span
        context = span.get_span_context()
        state = context.trace_state.to_header()
        self.trace = TraceContext(f"{context.trace_id:032x}", f"{context.span_id:016x}", int(context.trace_flags) & 1, state)

    def rename(self, name: str) -> None:
        self._span.update_name(name)

    def annotate(self, **attributes: Attribute) -> None:
        for name, value in attributes.items():
            self._span.set_attribute(name.replace("__", "."), value)

    def fail(self, error_type: str) -> None:
        self._span.set_attribute("error.type", error_type)
        self._span.set_status(api.StatusCode.ERROR)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        if kind is not None and issubclass(kind, Exception):
            self.fail(kind.__name__)
        self._span.end()


class OpenTelemetryTracer:
    """Begins spans of the SDK, and sends them in batches."""

    def __init__(self) -> None:
        """Read the SDK's variables; connect to nothing yet."""
        named = Resource.create()  # OTEL_RESOURCE_ATTRIBUTES and OTEL_SERVICE_NAME
        is_named = not str(named.attributes.get("service.name", "unknown_service")).startswith("unknown_service")
        own = {"service.version": __version__} if is_named else {"service.name": "regproxy", "service.version": __version__}
        self._provider = TracerProvider(resource=named.merge(Resource(own)), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("regproxy", __version__)

    def begin(self, name: str, kind: SpanKind, parent: TraceContext | None, began: float | None = None) -> OpenTelemetrySpan:
        context = api.set_span_in_context(api.NonRecordingSpan(_foreign(parent))) if parent is not None else Context()
        start = None if began is None else int(began * _NANOSECONDS)
        return OpenTelemetrySpan(self._tracer.start_span(name, context=context, kind=_KINDS[kind], start_time=start))

    async def close(self) -> None:
        """Send what is left; a collector that does not take it in time does without."""
        loop, is_sent = asyncio.get_running_loop(), asyncio.Event()

        def send() -> None:
            self._provider.shutdown()
            if not loop.is_closed():
                loop.call_soon_threadsafe(is_sent.set)

        threading.Thread(target=send, name="last spans", daemon=True).start()
        try:
            async with asyncio.timeout(_FLUSH_SECONDS):
                await is_sent.wait()
        except TimeoutError:
            pass


def _foreign(parent: TraceContext) -> api.SpanContext:
    state = TraceState.from_header([parent.state]) if parent.state else None
    return api.SpanContext(
        int(parent.trace_id, 16), int(parent.span_id, 16), is_remote=True, trace_flags=api.TraceFlags(parent.flags), trace_state=state
    )
