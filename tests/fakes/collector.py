"""A collector of spans: OTLP over HTTP, as OpenTelemetry's exporters speak it."""

import gzip
from collections.abc import Mapping
from typing import Any, NamedTuple, Self

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest, ExportTraceServiceResponse

from tests.free_port import free_port
from tests.rig import LOOPBACK


class CollectedSpan(NamedTuple):
    """A span as it came."""

    name: str
    kind: int  # 1 internal, 2 server, 3 client
    trace_id: str
    span_id: str
    parent_id: str
    state: str
    attributes: Mapping[str, Any]
    has_failed: bool
    service: str


class Collector:
    """Takes spans at `/v1/traces`."""

    def __init__(self) -> None:
        self.spans: list[CollectedSpan] = []
        self.port = free_port()
        self._runner = web.ServerRunner(web.Server(self._take))

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    def named(self, name: str) -> list[CollectedSpan]:
        return [span for span in self.spans if span.name == name]

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        await web.TCPSite(self._runner, LOOPBACK, self.port).start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _take(self, request: web.BaseRequest) -> web.Response:
        assert (request.method, request.path) == ("POST", "/v1/traces")
        body = await request.read()
        sent = ExportTraceServiceRequest.FromString(gzip.decompress(body) if body.startswith(b"\x1f\x8b") else body)
        for resource in sent.resource_spans:
            service = next(each.value.string_value for each in resource.resource.attributes if each.key == "service.name")
            for scope in resource.scope_spans:
                self.spans += [_collected(span, service) for span in scope.spans]
        return web.Response(body=ExportTraceServiceResponse().SerializeToString(), content_type="application/x-protobuf")


def _collected(span: Any, service: str) -> CollectedSpan:  # noqa: ANN401  made by protobuf
    attributes = {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in span.attributes}
    ids = span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex()
    return CollectedSpan(span.name, span.kind, *ids, span.trace_state, attributes, span.status.code == 2, service)
