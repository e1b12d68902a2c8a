"""The catalog: what is cached of a registry, told only where an operator wants that."""

import json
from pathlib import Path

import pytest

from regproxy.oci.digest import Digest
from regproxy.oci.reference import Repository
from regproxy.ports import Kind
from tests.fakes.registry import FakeRegistry
from tests.rig import Answer, Rig, rig

NAMES = ["a/one", "a/two", "b", "library/nginx", "z-last"]


def _listed(answer: Answer) -> list[str]:
    assert answer.status == 200
    return list(json.loads(answer.body)["repositories"])


async def _walk(proxy: Rig, query: str) -> list[str]:
    found: list[str] = []
    path: str | None = f"/v2/_catalog{query}"
    while path is not None:
        answer = await proxy.ask(path)
        found += _listed(answer)
        assert len(found) < 20, "it goes on for ever"
        link = answer.headers.get("Link")
        path = link.removeprefix("<").partition(">")[0] if link is not None else None
    return found


async def test_n13_23_nobody_is_told_what_is_cached_unless_that_is_wanted(upstream: FakeRegistry, proxy: Rig) -> None:
    upstream.add_image("library/nginx", "1", [b"layer"])
    assert (await proxy.ask("/v2/library/nginx/manifests/1")).status == 200
    answer = await proxy.ask("/v2/_catalog")
    assert (answer.status, json.loads(answer.body)["errors"][0]["code"]) == (404, "UNSUPPORTED")


@pytest.mark.parametrize("query", ["", "?n=1", "?n=2", "?n=5", "?n=1000", "?ns=reg.test&n=2", "?ns=REG.test:443"])
async def test_n13_23_what_is_cached_of_a_registry_is_listed_in_pages(tmp_path: Path, query: str) -> None:
    async with FakeRegistry() as one, FakeRegistry() as two:
        upstreams = {"reg.test": one.url, "reg.test0": two.url, "reg": two.url}
        async with rig(tmp_path / "store", upstreams, catalog=True) as proxy:
            for name in reversed(NAMES):
                image = one.add_image(name, "1", [b"layer"])
                one.add_image(name, "2", [b"another layer"])
                for target in ("1", "2", str(image.digest)):
                    assert (await proxy.ask(f"/v2/{name}/manifests/{target}")).status == 200
            two.add_image("hidden", "1", [b"layer"])
            for registry in ("reg.test0", "reg"):
                assert (await proxy.ask(f"/v2/hidden/manifests/1?ns={registry}")).status == 200
            asked = len(one.ledger)
            assert await _walk(proxy, query) == NAMES
            assert await _walk(proxy, "?ns=reg.test0") == ["hidden"]
            assert len(one.ledger) == asked


async def test_n13_23_the_catalog_goes_on_after_a_name(tmp_path: Path) -> None:
    async with FakeRegistry() as one, rig(tmp_path / "store", {"reg.test": one.url}, catalog=True) as proxy:
        assert _listed(await proxy.ask("/v2/_catalog")) == []
        for name in NAMES:
            one.add_image(name, "1", [b"layer"])
            await proxy.ask(f"/v2/{name}/manifests/1")
        assert _listed(await proxy.ask("/v2/_catalog?last=a/two")) == NAMES[2:]
        assert _listed(await proxy.ask("/v2/_catalog?last=aaa&n=1")) == ["b"]
        assert _listed(await proxy.ask("/v2/_catalog?n=0")) == []
        assert (await proxy.ask("/v2/_catalog?n=x")).status == 400
        assert (await proxy.ask("/v2/_catalog?ns=other.test")).status == 404
        assert (await proxy.ask("/v2/_catalog?ns=reg.test&ns=reg.test")).status == 400
        assert (await proxy.ask("/v2/_catalog?ns=reg.test")).headers["OCI-Namespace"] == "reg.test"
        assert (await proxy.ask("/v2/_catalog", "POST")).status == 405


@pytest.mark.parametrize("query", ["", "?n=1", "?n=2", "?n=1000"])
@pytest.mark.parametrize(
    ("deny", "listed"),
    [
        (["a/*"], ["b", "library/nginx", "z-last"]),
        (["b:*", "z-last*"], ["a/one", "a/two", "library/nginx"]),
        (["b", "a/one", "last"], ["a/two", "library/nginx", "z-last"]),
        (["*:latest", "*@sha256:*", "b:1"], NAMES),
        (["*"], []),
    ],
)
async def test_n13_23_what_may_not_be_pulled_is_not_listed(tmp_path: Path, deny: list[str], listed: list[str], query: str) -> None:
    """What was cached before it was forbidden; a page that is short of names goes on to the next."""
    async with FakeRegistry() as one:
        async with rig(tmp_path / "store", {"reg.test": one.url}) as proxy:
            for name in NAMES:
                one.add_image(name, "1", [b"layer"])
                assert (await proxy.ask(f"/v2/{name}/manifests/1")).status == 200
        async with rig(tmp_path / "store", {"reg.test": {"hosts": [{"url": one.url}], "deny": deny}}, catalog=True) as proxy:
            assert await _walk(proxy, query) == listed


async def test_n13_23_a_page_goes_on_past_more_that_is_denied_than_is_read_at_once(tmp_path: Path) -> None:
    async with FakeRegistry() as one:
        async with rig(tmp_path / "store", {"reg.test": one.url}) as proxy:
            descriptor = one.add_image("seen", "1", [b"layer"])
            assert (await proxy.ask("/v2/seen/manifests/1")).status == 200
            for number in range(2100):
                await proxy.proxy.index.put(Kind.MANIFEST, Repository("reg.test", f"secret/{number}"), descriptor)
            await proxy.proxy.index.put(Kind.MANIFEST, Repository("reg.test", "z-last"), descriptor)
        settings = {"reg.test": {"hosts": [{"url": one.url}], "deny": ["secret/*"]}}
        async with rig(tmp_path / "store", settings, catalog=True) as proxy:
            assert await _walk(proxy, "?n=1") == ["seen", "z-last"]


@pytest.mark.parametrize("deny", ["secret/*", "secret/app", "secret/app:*"])
async def test_n13_23_nothing_is_told_of_what_may_not_be_pulled(tmp_path: Path, deny: str) -> None:
    """Neither its tags, its manifests, its blobs, nor what refers to it, from upstream or from the store."""
    async with FakeRegistry() as one:
        image = one.add_image("secret/app", "1", [b"layer"])
        paths = [
            "/v2/secret/app/tags/list",
            "/v2/secret/app/tags/list?n=0",
            f"/v2/secret/app/referrers/{image.digest}",
            "/v2/secret/app/manifests/1",
            f"/v2/secret/app/manifests/{image.digest}",
            f"/v2/secret/app/blobs/{Digest.of(b'layer')}",
        ]
        async with rig(tmp_path / "store", {"reg.test": one.url}) as proxy:
            assert {(await proxy.ask(path)).status for path in paths} == {200}
        asked = len(one.ledger)
        async with rig(tmp_path / "store", {"reg.test": {"hosts": [{"url": one.url}], "deny": [deny]}}) as proxy:
            answers = [await proxy.ask(path) for path in paths]
        assert [(answer.status, json.loads(answer.body)["errors"][0]["code"]) for answer in answers] == [(403, "DENIED")] * len(paths)
        assert len(one.ledger) == asked
