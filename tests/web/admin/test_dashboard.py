"""The page of the admin port, and Grafana's: what they ask for is there, and the page brings and runs nothing but its own."""

import json
import re
from base64 import b64encode
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path

import aiohttp
import pytest

from regproxy.oci.http.cache_status import CacheStatus
from regproxy.telemetry import metrics
from tests.fakes.registry import FakeRegistry
from tests.rig import LOOPBACK, Rig, rig

NAME = "library/app"


@pytest.fixture
async def proxy(tmp_path: Path) -> AsyncIterator[Rig]:
    async with FakeRegistry() as upstream, rig(tmp_path / "store", {"docker.io": upstream.url}) as running:
        digest = upstream.add_blob(NAME, b"layer")
        assert (await running.ask(f"/v2/{NAME}/blobs/{digest}")).status == 200
        yield running


async def fetched(proxy: Rig, path: str = "") -> tuple[aiohttp.ClientResponse, str]:
    async with proxy.session.get(f"http://{LOOPBACK}:{proxy.admin_port}/{path}") as response:
        return response, await response.text()


async def test_every_series_it_shows_is_in_the_history(proxy: Rig) -> None:
    _, page = await fetched(proxy)
    shown = set(re.findall(r'only\("(\w+)"\)', page)) | set(re.findall(r"series\.(\w+) \|\|", page))
    assert len(shown) == 11
    assert shown <= set(metrics.totals())


async def test_every_metric_grafana_is_to_show_is_told(proxy: Rig) -> None:
    panels = json.loads((Path(__file__).parents[3] / "deploy/helm/regproxy/grafana.json").read_text())["panels"]
    shown = set(re.findall(r"regproxy_\w+", " ".join(target["expr"] for panel in panels for target in panel.get("targets", ()))))
    told = set(re.findall(r"^# TYPE (\w+)", await proxy.metrics(), re.MULTILINE))
    assert shown
    assert {name.removesuffix("_bucket") for name in shown} <= told


def test_grafana_draws_of_the_requests_those_that_the_page_draws() -> None:
    panels = json.loads((Path(__file__).parents[3] / "deploy/helm/regproxy/grafana.json").read_text())["panels"]
    drawn = re.findall(
        r"regproxy_requests_total{(.*?)}", " ".join(target["expr"] for panel in panels for target in panel.get("targets", ()))
    )
    assert len(drawn) == 3
    assert {frozenset(re.findall(r'endpoint=~"(.*?)"', selector)[0].split("|")) for selector in drawn} == {metrics.CONTENT}


async def test_every_path_it_reads_answers(proxy: Rig) -> None:
    _, page = await fetched(proxy)
    paths = set(re.findall(r'(?:asked|fetch)\([`"](api/v1/[a-z/]+|readyz)[?`"$](?![^;)]*(?:POST|DELETE))', page))
    assert paths - {"api/v1/session"} == {
        f"api/v1/{name}" for name in ("access", "downloads", "fleet", "freezes", "history", "store/page", "upstreams", "version")
    } | {"readyz"}
    assert {(await fetched(proxy, path))[0].status for path in paths - {"api/v1/session"}} == {200}


async def test_every_outcome_of_a_pull_has_its_color(proxy: Rig) -> None:
    _, page = await fetched(proxy)
    drawn = page[page.index("const OUTCOMES") : page.index("];\n", page.index("const OUTCOMES"))]
    assert {cache_status.value for cache_status in CacheStatus} <= set(re.findall(r'"(\w+)"', drawn))


async def test_a_browser_runs_nothing_else_and_asks_nobody_else(proxy: Rig) -> None:
    response, page = await fetched(proxy)
    policy = response.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    for element in ("script", "style"):
        body = page.partition(f"<{element}>")[2].partition(f"</{element}>")[0]
        assert f"{element}-src 'sha256-{b64encode(sha256(body.encode()).digest()).decode()}'" in policy
    assert not re.search(r'\b(?:src|href)="(?!data:|#)', page), "nothing comes from elsewhere"
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|setAttribute\(\"style", page), (
        "what upstream says is text"
    )


async def test_the_registry_port_has_no_page(proxy: Rig) -> None:
    """What is at its root says what listens there, and nothing of what it holds."""
    answer = await proxy.ask("/")
    assert answer.headers["Content-Type"].partition(";")[0] == "application/json"
    assert (await proxy.ask("/index.html")).status == 404
