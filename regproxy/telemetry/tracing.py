"""Traces: the one that a request belongs to is passed on to upstream, and spans of it are exported where a collector is named.

Without a collector a span is `_NoSpan`, which costs an attribute or two, and the trace of the client goes on unchanged.
"""

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from enum import Enum
from types import TracebackType
from typing import Protocol, Self

from regproxy.oci.http.trace_context import TraceContext
from regproxy.telemetry.log import fields

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"  # OpenTelemetry's name: the collector, and what turns tracing on
_DISABLED = "OTEL_SDK_DISABLED"

Attribute = str | int | float | bool

_log = logging.getLogger(__name__)
_current: ContextVar[TraceContext | None] = ContextVar("trace", default=None)


class SpanKind(Enum):
    """Whether a span is of a request to us, of one that we make, or of our own work."""

    SERVER = "server"
    CLIENT = "client"
    INTERNAL = "internal"


class Span(Protocol):
    """A piece of work that takes time; it ends with the block."""

    @property
    def trace(self) -> TraceContext | None:
        """What is done for this span belongs to this trace, and has this span as its parent."""

    def rename(self, name: str) -> None:
        """Give it another name, once it is known what is asked for."""

    def annotate(self, **attributes: Attribute) -> None:
        """Add what became known meanwhile; `__` in a name stands for a dot. No secret may be among it."""

    def fail(self, error_type: str) -> None:
        """Record that it failed, by the name of an error or a status."""

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None: ...


class Tracer(Protocol):
    """Begins spans, and exports them once they have ended."""

    def begin(self, name: str, kind: SpanKind, parent: TraceContext | None, began: float | None = None) -> Span:
        """Begin a span now, or at *began* (epoch seconds)."""

    async def close(self) -> None:
        """Export what is left, but not for long."""


class _NoSpan:
    """A span that nobody records."""

    __slots__ = ("trace",)

    def __init__(self, trace: TraceContext | None) -> None:
        self.trace = trace

    def rename(self, name: str) -> None:
        """Record nothing."""

    def annotate(self, **attributes: Attribute) -> None:
        """Record nothing."""

    def fail(self, error_type: str) -> None:
        """Record nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        return None


class _Exporter:
    """The tracer of this process, if it has one; metrics too are the process's and not handed around."""

    tracer: Tracer | None = None


def is_exporting() -> bool:
    return _Exporter.tracer is not None


def span(name: str, kind: SpanKind = SpanKind.INTERNAL) -> Span:
    """Begin a span of the trace that what runs now belongs to.

    Nothing is set that other code would find: generators that end in another task than they began in may hold one.
    """
    parent = _current.get()
    tracer = _Exporter.tracer
    return _NoSpan(parent) if tracer is None else tracer.begin(name, kind, parent)


def enter(trace: TraceContext | None) -> None:
    """Let what this task does from now on, and what it starts, belong to *trace*."""
    _current.set(trace)


def record(name: str, kind: SpanKind, began: float) -> Span | None:
    """Begin a span in the past, at *began* (epoch seconds), of a trace of its own; None where nobody records it."""
    tracer = _Exporter.tracer
    return None if tracer is None else tracer.begin(name, kind, None, began)


@asynccontextmanager
async def exporting(environment: Mapping[str, str]) -> AsyncIterator[None]:
    """Export spans meanwhile, if *environment* names a collector and OpenTelemetry is installed."""
    if not environment.get(ENDPOINT) or environment.get(_DISABLED, "").lower() == "true":
        yield
        return
    try:
        from regproxy.telemetry.otel import OpenTelemetryTracer  # noqa: PLC0415  20 MB that most do without
    except ImportError:
        _log.warning("tracing is off: OpenTelemetry is not installed", extra=fields(install="regproxy[otel]", because=ENDPOINT))
        yield
        return
    tracer = _Exporter.tracer = OpenTelemetryTracer()
    try:
        yield
    finally:
        _Exporter.tracer = None
        await tracer.close()
