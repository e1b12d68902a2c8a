"""Traces: what a client says goes on to its registry and into the log, and spans go to a collector where one is named."""

import asyncio
import io
import json
import logging
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from regproxy.oci.digest import Digest
from tests.fakes.collector import Collector
from tests.fakes.deeds import Redirect
from tests.fakes.entry import Entry, on
from tests.fakes.program import Program
from tests.fakes.registry import FakeRegistry
from tests.faults.hostile.promises import MIB, resident
from tests.free_port import free_port
from tests.rig import LOOPBACK, Rig, raw, rig

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = f"00-{TRACE}-{SPAN}-01"
STATE = "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"
NAME = "library/app"
LAYER = b"layer" * 1000


def _path(kind: str, reference: object) -> str:
    return f"/v2/{NAME}/{kind}/{reference}?ns=docker.io"


def _traces(entries: list[Entry], kind: str) -> set[tuple[str | None, str | None]]:
    return {(entry.headers.get("traceparent"), entry.headers.get("tracestate")) for entry in entries if entry.kind == kind}


def _access(lines: io.StringIO) -> list[dict[str, object]]:
    for handler in logging.getLogger().handlers:
        handler.flush()
    return [record for line in lines.getvalue().splitlines() if (record := json.loads(line))["logger"] == "regproxy.access"]


@pytest.fixture
async def proxy(tmp_path: Path) -> AsyncIterator[tuple[Rig, FakeRegistry, FakeRegistry]]:
    """Run regproxy before a registry with tokens, which redirects blobs to storage of its own."""
    async with (
        FakeRegistry(auth="anonymous") as registry,
        FakeRegistry() as storage,
        rig(tmp_path / "store", {"docker.io": registry.url}) as running,
    ):
        yield running, registry, storage


async def test_n15_06_a_trace_is_passed_on_to_the_registry_and_to_nobody_else(
    proxy: tuple[Rig, FakeRegistry, FakeRegistry], lines: io.StringIO
) -> None:
    running, registry, storage = proxy
    registry.add_image(NAME, "1", [LAYER])
    digest = Digest.of(LAYER)
    storage.add_file("/signed?signature=canary", LAYER)
    registry.misbehave(on("GET", "/blobs/"), Redirect(f"{storage.url}/signed?signature=canary"))
    await running.ask(_path("manifests", "1"), traceparent=PARENT, tracestate=STATE)
    found = await running.ask(_path("blobs", digest), traceparent=PARENT, tracestate=STATE)
    assert found.body == LAYER
    assert _traces(registry.ledger, "manifests") == _traces(registry.ledger, "blobs") == {(PARENT, STATE)}
    assert _traces(registry.ledger, "token") == {(None, None)}, "a token is fetched for everybody"
    assert _traces(storage.ledger, "other") == {(None, None)}
    assert [record["trace_id"] for record in _access(lines)] == [TRACE, TRACE]


async def test_n15_06_a_request_of_no_trace_gets_none_of_those_before_it(
    proxy: tuple[Rig, FakeRegistry, FakeRegistry], lines: io.StringIO
) -> None:
    running, registry, _ = proxy
    for tag in ("1", "2", "3"):
        registry.add_image(NAME, tag, [tag.encode()])
    await running.ask(_path("manifests", "1"), traceparent=PARENT)
    first = len(registry.ledger)
    await running.ask(_path("manifests", "2"))
    await running.ask(_path("manifests", "3"), traceparent=f"{PARENT}-Authorization: canary", tracestate=STATE)
    assert _traces(registry.ledger[first:], "manifests") == {(None, None)}
    assert ["trace_id" in record for record in _access(lines)] == [True, False, False]


async def test_n15_06_spans_of_a_pull_reach_the_collector(tmp_path: Path) -> None:
    async with Collector() as collector, FakeRegistry(auth="anonymous") as registry:
        registry.add_image(NAME, "1", [LAYER])
        digest = Digest.of(LAYER)
        env = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "50"}
        program = Program(tmp_path, {"docker.io": {"hosts": [{"url": registry.url}]}}, env=env, workers=1)
        traced = {"traceparent": PARENT, "tracestate": STATE}
        async with program.running(), aiohttp.ClientSession(f"http://{LOOPBACK}:{program.port}") as session:
            for path in (_path("manifests", "1"), _path("blobs", digest), _path("blobs", f"sha256:{'0' * 64}")):
                async with session.get(path, headers=traced) as response:
                    await response.read()
            await program.until(lambda: len(collector.named("GET blobs")) == 2 and collector.named("fill"))
            for _ in range(3):  # the third comes from memory, word for word
                async with session.get(_path("blobs", digest)) as response:
                    assert await response.read() == LAYER
            program.tell(signal.SIGTERM)
            assert await program.ended() == 0
        [manifest] = collector.named("GET manifests")[:1]
        [blob, unknown, *repeated] = collector.named("GET blobs")
        assert (manifest.trace_id, manifest.parent_id, manifest.state, manifest.kind, manifest.service) == (
            TRACE,
            SPAN,
            STATE,
            2,
            "regproxy",
        )
        assert manifest.attributes["http.response.status_code"] == 200
        assert manifest.attributes["regproxy.outcome"] == "miss"
        assert unknown.attributes["http.response.status_code"] == 404
        assert not unknown.has_failed, "it is the client's mistake"
        fills = collector.named("fill")
        [copied] = [fill for fill in fills if fill.attributes["regproxy.digest"] == str(digest)]
        assert (copied.trace_id, copied.parent_id, copied.kind) == (TRACE, blob.span_id, 1)
        tokens = collector.named("token request")
        assert tokens
        assert {span.trace_id for span in tokens} == {TRACE}
        asked = {span.span_id: span for span in collector.spans if span.kind == 3 and span.name != "token request"}
        sent = [entry.headers["traceparent"].split("-") for entry in registry.ledger if entry.kind in {"manifests", "blobs"}]
        assert {span_id for _, _, span_id, _ in sent} == set(asked), "each request to upstream carries a span of its own"
        assert {trace_id for _, trace_id, _, _ in sent} == {TRACE}
        assert {span.parent_id for span in asked.values()} <= {
            manifest.span_id,
            blob.span_id,
            unknown.span_id,
            *(fill.span_id for fill in fills),
        }
        assert len(repeated) == 3
        assert {span.parent_id for span in repeated} == {""}
        assert len({span.attributes["regproxy.request_id"] for span in repeated}) == 3
        assert "canary" not in repr(collector.spans)


async def test_n15_06_a_collector_that_is_away_costs_spans_and_no_pull(tmp_path: Path) -> None:
    async with FakeRegistry() as registry:
        registry.add_image(NAME, "1", [LAYER])
        env = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{LOOPBACK}:{free_port()}", "OTEL_BSP_SCHEDULE_DELAY": "50"}
        program = Program(tmp_path, {"docker.io": {"hosts": [{"url": registry.url}]}}, env=env, workers=1)
        async with program.running():
            assert await program.ask(_path("blobs", Digest.of(LAYER))) == (200, LAYER)
            program.tell(signal.SIGTERM)
            assert await program.ended() == 0


async def test_n15_06_a_collector_that_hangs_and_then_dies_costs_spans_and_no_pull_and_no_memory(tmp_path: Path) -> None:
    async with FakeRegistry() as registry:
        manifest = registry.add_image(NAME, "1", [LAYER])
        asked, release = asyncio.Event(), asyncio.Event()

        async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(1)
            asked.set()
            await release.wait()
            writer.transport.abort()

        collector = await asyncio.start_server(hang, LOOPBACK, 0)
        port = collector.sockets[0].getsockname()[1]
        env = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{LOOPBACK}:{port}", "OTEL_BSP_SCHEDULE_DELAY": "50"}
        env |= {"OTEL_BSP_MAX_QUEUE_SIZE": "200", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "100"}
        program = Program(tmp_path, {"docker.io": {"hosts": [{"url": registry.url}]}}, env=env, workers=1)
        async with program.running():
            assert await program.ask(_path("blobs", Digest.of(LAYER))) == (200, LAYER)
            await asked.wait()
            path = _path("manifests", manifest.digest)
            await _many(program.port, path)  # more than wait to be sent
            assert program.process is not None
            before = resident(program.process.pid)
            await _many(program.port, path)
            release.set()
            collector.close()
            await _many(program.port, path)
            assert (resident(program.process.pid) - before) // MIB <= 20
            program.tell(signal.SIGTERM)
            assert await program.ended() == 0


async def _many(port: int, path: str) -> None:
    """Ask 500 times, which is more than the SDK keeps."""
    request = f"GET {path} HTTP/1.1\r\nHost: proxy\r\n\r\n".encode()
    for _ in range(5):
        answer = await raw(port, request * 99 + request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        assert answer.received.count(b"HTTP/1.1 200 ") == 100
