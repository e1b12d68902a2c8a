"""Grafana's dashboard against Debian's Prometheus: every query that it makes is answered with data."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from regproxy.telemetry import metrics
from tests.behind_kit import behind
from tests.clients.programs import program
from tests.fakes.bucket import FakeBucket
from tests.fakes.fleet import fleet
from tests.fakes.registry import FakeRegistry
from tests.free_port import free_port
from tests.rig import LOOPBACK, Rig

from .page_store import filled

_PANELS = json.loads((Path(__file__).parents[3] / "deploy/helm/regproxy/grafana.json").read_text())["panels"]
_QUERIES = sorted({target["expr"] for panel in _PANELS for target in panel.get("targets", ())})


def rarely() -> None:
    """Count what happens only where something fails, as it does then, by the declarations that the server counts with."""
    host = ("docker.io", "registry-1.docker.io")
    for labelled, labels in (
        (metrics.TOKEN_REQUESTS, ("docker.io", "ok")),
        (metrics.RESUMES, ("cut",)),
        (metrics.RESTARTS, ("died",)),
        (metrics.CLIENTS_DROPPED, ("stalled",)),
        (metrics.SENT_BYTES, ("blobs", "store")),
    ):
        labelled.labels(*labels).inc()
    for each in (
        metrics.HOST_BACKOFF,
        metrics.HOST_CORRUPT_RESPONSES,
        metrics.HOST_RATE,
        metrics.HOST_FIRST_BYTE,
        metrics.RATELIMIT_REMAINING,
    ):
        each.labels(*host).set(1)


@asynccontextmanager
async def prometheus(folder: Path, target: int) -> AsyncIterator[str]:
    """Run one that scrapes the admin port *target* once a second; yield the URL of its queries."""
    found, port = program("prometheus", "prometheus"), free_port()
    scrape = {"job_name": "regproxy", "static_configs": [{"targets": [f"{LOOPBACK}:{target}"]}]}
    config = folder / "prometheus.yml"
    config.write_text(yaml.safe_dump({"global": {"scrape_interval": "1s", "scrape_timeout": "1s"}, "scrape_configs": [scrape]}))
    flags = [
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={LOOPBACK}:{port}",
        "--log.level=error",
    ]
    process = await asyncio.create_subprocess_exec(found, *flags)
    try:
        yield f"http://{LOOPBACK}:{port}/api/v1/query"
    finally:
        process.terminate()
        await process.wait()


async def answered(proxy: Rig, url: str, query: str) -> list[Any]:
    """Ask until there is data, because rates need two scrapes, or five minutes are over."""
    concrete = query.replace("$job", "regproxy").replace("$__rate_interval", "1m")
    try:
        async with asyncio.timeout(300):
            while True:
                if result := await asked(proxy, url, concrete):
                    return result
                await asyncio.sleep(0.1)
    except TimeoutError:
        return []


async def asked(proxy: Rig, url: str, query: str) -> list[Any]:
    """Ask once; until Prometheus is ready there is nothing."""
    try:
        async with proxy.session.get(url, params={"query": query}, headers={"Accept-Encoding": "identity"}) as response:
            body = await response.read()
    except aiohttp.ClientConnectionError:
        return []
    if response.status == 503:
        return []
    assert response.status == 200, body
    return list(json.loads(body)["data"]["result"])


async def test_n15_14_every_query_of_the_grafana_dashboard_returns_data(tmp_path: Path) -> None:
    async with (
        FakeRegistry() as upstream,
        FakeBucket() as bucket,
        fleet(tmp_path, {"docker.io": upstream.url}, 2, store=behind(bucket.url)) as (proxy, other),
    ):
        await filled(proxy, upstream, count=2)
        await filled(other, upstream, count=2)
        rarely()
        async with prometheus(tmp_path, proxy.admin_port) as url:
            silent = [query for query in _QUERIES if not await answered(proxy, url, query)]
    assert silent == []
