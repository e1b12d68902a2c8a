"""Upstreams that count our pulls: row U19, and Docker Hub's headers."""

import asyncio
import json
from pathlib import Path

import pytest

from regproxy.oci.digest import Digest
from tests.fakes.deeds import Headers, Status
from tests.fakes.registry import FakeRegistry
from tests.rig import Answer, Rig, rig

NAME = "library/app"


def left(remaining: int) -> Headers:
    return Headers({"ratelimit-limit": "100;w=21600", "ratelimit-remaining": f"{remaining};w=21600", "docker-ratelimit-source": "a"})


async def pulled(proxy: Rig, tag: str = "1") -> Answer:
    return await proxy.ask(f"/v2/{NAME}/manifests/{tag}?ns=docker.io")


@pytest.mark.parametrize("body", [b'{"errors": [{"code": "TOOMANYREQUESTS"}]}', b"Too Many Requests", b"<html>429</html>", b""])
@pytest.mark.parametrize("headers", [{"Retry-After": "900"}, {}], ids=["a pause", "no pause"])
async def test_u19_a_throttling_upstream_is_left_alone_and_no_client_hears_429(
    upstream: FakeRegistry, proxy: Rig, body: bytes, headers: dict[str, str]
) -> None:
    upstream.add_image(NAME, "1", [b"layer"])
    known = await pulled(proxy)
    upstream.misbehave("/manifests/", Status(429, headers, body))
    asked = len(upstream.ledger)
    for _ in range(10):
        assert (await pulled(proxy)).body == known.body
        unknown = await pulled(proxy, "2")
        assert (unknown.status, json.loads(unknown.body)["errors"][0]["code"]) == (503, "UNAVAILABLE")
        assert 0 < int(unknown.headers["Retry-After"]) <= 900
    assert len(upstream.ledger) == asked + 1


async def test_u19_content_that_was_resolved_is_still_fetched(upstream: FakeRegistry, proxy: Rig) -> None:
    """Docker Hub counts manifests only."""
    digest = upstream.add_blob(NAME, b"blob")
    upstream.misbehave("/manifests/", Status(429))
    assert (await pulled(proxy)).status == 503
    assert (await proxy.ask(f"/v2/{NAME}/blobs/{digest}?ns=docker.io")).body == b"blob"


async def test_pulls_left_are_told(upstream: FakeRegistry, proxy: Rig) -> None:
    upstream.add_image(NAME, "1", [b"layer"])
    upstream.misbehave("/manifests/", left(97))
    await pulled(proxy)
    assert f'regproxy_upstream_ratelimit_remaining{{host="{upstream.host}",upstream="docker.io"}} 97.0' in await proxy.metrics()


async def test_while_pulls_are_scarce_a_tag_stays_fresh_for_longer(upstream: FakeRegistry, tmp_path: Path) -> None:
    """Few of the pulls that are left go to tags we know."""
    upstream.add_image(NAME, "1", [b"layer"])
    upstream.misbehave("/manifests/", left(9))
    async with rig(tmp_path / "store", {"docker.io": {"hosts": [{"url": upstream.url}], "tags": [{"fresh_for": "0s"}]}}) as proxy:
        await pulled(proxy)
        answer = await pulled(proxy)
    assert (answer.status, "asked behind" in answer.headers["Warning"]) == (200, True)


async def test_at_zero_upstream_is_left_alone_before_it_says_so(upstream: FakeRegistry, proxy: Rig) -> None:
    upstream.add_image(NAME, "1", [b"layer"])
    upstream.add_image(NAME, "2", [b"layer"])
    upstream.misbehave("/manifests/", left(0))
    assert (await pulled(proxy)).status == 200
    assert (await pulled(proxy)).status == 200
    assert (await pulled(proxy, "2")).status == 503
    assert len(upstream.ledger) == 1


async def test_another_host_is_asked_before_one_with_few_pulls_left(upstream: FakeRegistry, tmp_path: Path) -> None:
    async with FakeRegistry() as second:
        for registry in (upstream, second):
            registry.add_image(NAME, "1", [b"one"])
            registry.add_image(NAME, "2", [b"two"])
        upstream.misbehave("/manifests/", left(3))
        async with rig(tmp_path / "store", {"docker.io": {"hosts": [{"url": upstream.url}, {"url": second.url}]}}) as proxy:
            assert [(await pulled(proxy, tag)).status for tag in ("1", "2")] == [200, 200]
        assert (len(upstream.ledger), len(second.ledger)) == (1, 1)


async def test_u19_a_host_behind_one_that_throttles_us_is_asked_for_everything(upstream: FakeRegistry, tmp_path: Path) -> None:
    async with FakeRegistry() as second:
        image = second.add_image(NAME, "1", [b"layer"])
        blob = second.add_blob(NAME, b"layer")
        upstream.misbehave("", Status(429, {"Retry-After": "900"}))
        paths = [f"manifests/{image.digest}", "manifests/1", f"blobs/{blob}", "tags/list", f"referrers/{image.digest}"]
        async with rig(tmp_path / "store", {"docker.io": {"hosts": [{"url": upstream.url}, {"url": second.url}]}}) as proxy:
            assert [(await proxy.ask(f"/v2/{NAME}/{path}?ns=docker.io")).status for path in paths] == [200] * 5
        assert upstream.ledger


@pytest.mark.parametrize("kind", ["manifests", "blobs"])
async def test_u19_where_no_host_answers_each_is_named_and_the_first_that_may_decides_when_to_come_back(
    upstream: FakeRegistry, tmp_path: Path, kind: str
) -> None:
    """A throttle hid what the host behind it had said, and told clients to stay away for as long as the throttle."""
    async with FakeRegistry() as second:
        digest = second.add_image(NAME, "1", [b"layer"]).digest if kind == "manifests" else second.add_blob(NAME, b"layer")
        upstream.misbehave("", Status(429, {"Retry-After": "900"}))
        second.misbehave("", Status(503))
        async with rig(tmp_path / "store", {"docker.io": {"hosts": [{"url": upstream.url}, {"url": second.url}]}}) as proxy:
            answer = await proxy.ask(f"/v2/{NAME}/{kind}/{digest}?ns=docker.io")
    assert answer.status == 503
    assert [text for text in (b"throttles us", b"answered 503") if text not in answer.body] == []
    assert int(answer.headers["Retry-After"]) <= 10


@pytest.mark.parametrize("what", ["blob", "manifest by digest", "manifest by tag", "missing blob", "missing tag"])
async def test_n16_07_a_flood_of_heads_of_what_is_not_cached_asks_upstream_once(upstream: FakeRegistry, tmp_path: Path, what: str) -> None:
    blob, image = upstream.add_blob(NAME, b"blob" * 1000), upstream.add_image(NAME, "1", [b"layer"])
    paths = {
        "blob": f"blobs/{blob}",
        "manifest by digest": f"manifests/{image.digest}",
        "manifest by tag": "manifests/1",
        "missing blob": f"blobs/{Digest.of(b'none')}",
        "missing tag": "manifests/none",
    }
    path = f"/v2/{NAME}/{paths[what]}"
    async with rig(tmp_path / "store", {"docker.io": upstream.url}) as proxy:
        first = await asyncio.gather(*(proxy.ask(path, "HEAD") for _ in range(50)))
        await proxy.settled()
        statuses = {each.status for each in (*first, *[await proxy.ask(path, "HEAD") for _ in range(50)])}
    assert statuses == {404 if "missing" in what else 200}
    assert sum(upstream.count(method, kind) for method in ("HEAD", "GET") for kind in ("blobs", "manifests")) <= 2
