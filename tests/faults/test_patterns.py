"""Registries that no one listed by name: what a pattern of the configuration lets clients reach, and what it does not."""

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from regproxy.oci.digest import Digest
from regproxy.upstream.hosts.registries import MAX_OF_PATTERNS
from tests.fakes.deeds import Hold
from tests.fakes.forward_proxy import ForwardProxy
from tests.fakes.registry import FakeRegistry
from tests.rig import PATIENT, Rig, rig

HIT, STALE = "regproxy; hit", "regproxy; fwd=stale; detail=upstream-out-of-reach"
OF_ONE_CLIENT = MAX_OF_PATTERNS * 3 // 4
LAYER = f"blobs/{Digest.of(b'layer')}"
ONE, TWO, OTHER = "one.served.example", "two.served.example", "three.other.example"


@pytest.fixture
async def way(upstream: FakeRegistry) -> AsyncIterator[ForwardProxy]:
    async with ForwardProxy() as proxy:
        proxy.names = {f"{name}:80": ("127.0.0.1", upstream.port) for name in (ONE, TWO, OTHER, "docker.io")}
        yield proxy


def _upstreams(way: ForwardProxy, **more: object) -> dict[str, object]:
    entry = {"hosts": [{"url": "http://{registry}"}], "proxy": way.configured, **more}
    return {"docker.io": {"hosts": [{"url": "http://{registry}"}], "proxy": way.configured}, "*.served.example": entry}


@pytest.fixture
async def patterned(way: ForwardProxy, tmp_path: Path) -> AsyncIterator[Rig]:
    async with rig(tmp_path / "store", _upstreams(way, deny=["secret/*"]), timeouts=PATIENT) as running:
        yield running


async def test_n19_02_registries_of_a_pattern_are_served_and_no_others_are_asked(
    patterned: Rig, way: ForwardProxy, upstream: FakeRegistry
) -> None:
    manifest = upstream.add_image("team/app", "1", [b"layer"])
    answers = await asyncio.gather(
        patterned.ask(f"/v2/team/app/manifests/1?ns={ONE}"),
        patterned.ask(f"/v2/{TWO}/team/app/manifests/1"),
        patterned.ask(f"/v2/team/app/manifests/1?ns={OTHER}"),
        patterned.ask(f"/v2/secret/app/manifests/1?ns={ONE}"),
        patterned.ask("/v2/team/app/manifests/1?ns=a.one.served.example"),
        patterned.ask("/v2/team/app/manifests/1?ns=served.example"),
    )
    assert [answer.status for answer in answers] == [200, 200, 404, 403, 404, 404]
    assert {answer.headers["Docker-Content-Digest"] for answer in answers[:2]} == {str(manifest.digest)}
    assert {request.place for request in way.requests} == {f"{ONE}:80", f"{TWO}:80"}
    assert (await patterned.hosts(ONE))[0]["url"] == f"http://{ONE}"
    await patterned.settled()
    answer = await patterned.ask(f"/v2/team/app/blobs/{_layer(answers[0].body)}?ns={ONE}")
    assert answer.body == b"layer"


async def test_n19_02_registries_of_a_pattern_are_counted_under_it(patterned: Rig, upstream: FakeRegistry) -> None:
    upstream.add_image("team/app", "1", [b"layer"])
    for name in (ONE, TWO):
        assert (await patterned.ask(f"/v2/team/app/manifests/1?ns={name}")).status == 200
    exposition = await patterned.metrics()
    assert 'upstream="*.served.example"' in exposition
    assert 'host="*.served.example"' in exposition
    assert ONE not in exposition


async def test_n19_02_what_a_registry_of_a_pattern_proves_counts_there_alone(way: ForwardProxy, tmp_path: Path) -> None:
    async with FakeRegistry(auth="password") as private:
        private.add_image("team/app", "1", [b"layer"])
        private.realm = "/token"
        way.names.update({f"{name}:80": ("127.0.0.1", private.port) for name in (ONE, TWO)})
        upstreams = _upstreams(way, access="proven")
        async with rig(tmp_path / "store", upstreams, timeouts=PATIENT, insecure_credentials=True) as proxy:
            login = "Basic " + base64.b64encode(f"{private.username}:{private.password}".encode()).decode()
            path = f"/v2/team/app/manifests/1?ns={ONE}"
            assert (await proxy.ask(path)).status == 401
            assert (await proxy.ask(path, Authorization=login)).status == 200
            assert (await proxy.ask(path)).status == 401
            private.password = "canary-other"
            assert (await proxy.ask(path, Authorization=login)).status == 200
            assert (await proxy.ask(f"/v2/team/app/manifests/1?ns={TWO}", Authorization=login)).status == 401


async def test_n19_02_what_is_cached_of_a_registry_is_served_where_no_more_of_them_are_asked(
    way: ForwardProxy, upstream: FakeRegistry, tmp_path: Path
) -> None:
    """A client holds as many registries as there may be: what is stored of another one needs none, be it new or old."""
    manifest = upstream.add_image("team/app", "1", [b"layer"])
    now = time.time()
    held = Hold()
    async with rig(tmp_path / "store", _upstreams(way), lambda: now, timeouts=PATIENT) as proxy:
        tag, digest, blob = paths = [f"/v2/team/app/{what}?ns={ONE}" for what in ("manifests/1", f"manifests/{manifest.digest}", LAYER)]
        assert [(await proxy.ask(path)).status for path in paths] == [200, 200, 200]
        await proxy.settled()
    async with rig(tmp_path / "store", _upstreams(way), lambda: now, timeouts=PATIENT) as proxy:
        assert [(await proxy.ask(path)).status for path in (digest, blob)] == [200, 200]
        assert ONE not in (await proxy.admin("upstreams"))[1], "no hit opens it"
        upstream.misbehave("/v2/other/", held)
        names = [f"r{number}.served.example" for number in range(OF_ONE_CLIENT)]
        way.names.update({f"{name}:80": ("127.0.0.1", upstream.port) for name in names})
        asked = [asyncio.create_task(proxy.ask(f"/v2/other/app/manifests/1?ns={name}")) for name in names]
        await upstream.seen("/v2/other/", OF_ONE_CLIENT)
        try:
            assert [(await proxy.ask(path)).status for path in paths] == [200, 200, 200]
            now += 24 * 3600
            assert [(await proxy.ask(path)).headers.get("Cache-Status") for path in (tag, digest, blob)] == [STALE, HIT, HIT]
            refused = await proxy.ask(f"/v2/team/app/manifests/2?ns={ONE}")
            assert (refused.status, b"in use" in refused.body) == (503, True)
        finally:
            held.event.set()
            answers = await asyncio.gather(*asked)
        assert {answer.status for answer in answers} == {404}
        assert (await proxy.ask(tag)).headers["Cache-Status"] != STALE


def _layer(manifest: bytes) -> str:
    return str(json.loads(manifest)["layers"][0]["digest"])
