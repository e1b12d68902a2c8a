"""Caches in a row: a node's asks the cluster's, which serves several registries that hold different images of one name."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from regproxy.oci.descriptor import Descriptor
from regproxy.oci.digest import Digest
from tests.fakes.deeds import Headers, Status
from tests.fakes.entry import on
from tests.fakes.registry import FakeRegistry
from tests.rig import LOOPBACK, PATIENT, Answer, Rig, rig

NAME = "team/app"
ONE, TWO = "d1.test", "d2.test"


class Chain:
    """Two registries, the cluster's cache before both, and the node's before that."""

    def __init__(self, one: FakeRegistry, two: FakeRegistry, cluster: Rig, node: Rig, images: dict[str, Descriptor]) -> None:
        self.one, self.two, self.cluster, self.node, self.images = one, two, cluster, node, images

    async def ask(self, registry: str, rest: str, method: str = "GET") -> Answer:
        return await self.node.ask(f"/v2/{NAME}/{rest}?ns={registry}", method)


def _fresh(host: dict[str, object]) -> dict[str, object]:
    return {"hosts": [host], "tags": [{"fresh_for": "0s", "missing_for": "0s"}]}


@asynccontextmanager
async def _chain(root: Path, node_hosts: dict[str, dict[str, object]], *served: str) -> AsyncIterator[Chain]:
    """Give the node the hosts, to which the cluster's url is added; the cluster serves the registries *served*, the first by default."""
    async with AsyncExitStack() as stack:
        one, two = [await stack.enter_async_context(FakeRegistry()) for _ in range(2)]
        images = {ONE: one.add_image(NAME, "1", [b"one"]), TWO: two.add_image(NAME, "1", [b"two"])}
        two.add_image(NAME, "only-two", [b"only two"])
        urls = {ONE: one.url, TWO: two.url}
        upstreams = {name: _fresh({"url": urls[name]}) for name in served or (ONE, TWO)}
        cluster = await stack.enter_async_context(rig(root / "cluster", upstreams, timeouts=PATIENT))
        hosts = {name: _fresh({"url": f"http://{LOOPBACK}:{cluster.port}", **host}) for name, host in node_hosts.items()}
        node = await stack.enter_async_context(rig(root / "node", hosts, timeouts=PATIENT))
        yield Chain(one, two, cluster, node, images)


@pytest.fixture
async def chain(tmp_path: Path) -> AsyncIterator[Chain]:
    async with _chain(tmp_path, {ONE: {"kind": "cache"}, TWO: {"kind": "cache"}}) as made:
        yield made


@pytest.mark.parametrize("registry", [ONE, TWO])
async def test_n13_18_a_tag_through_two_caches_is_its_own_registrys(chain: Chain, registry: str) -> None:
    answer = await chain.ask(registry, "manifests/1")
    assert (answer.status, answer.headers["Docker-Content-Digest"]) == (200, str(chain.images[registry].digest))
    assert answer.headers["OCI-Namespace"] == registry
    head = await chain.ask(registry, "manifests/1", "HEAD")
    assert head.headers["Docker-Content-Digest"] == str(chain.images[registry].digest)


async def test_n13_18_lists_referrers_and_blobs_through_two_caches_are_their_own_registrys(chain: Chain) -> None:
    signature = chain.two.add_image(NAME, None, [b"signature"], chain.images[TWO])
    assert json.loads((await chain.ask(ONE, "tags/list")).body)["tags"] == ["1"]
    assert json.loads((await chain.ask(TWO, "tags/list")).body)["tags"] == ["1", "only-two"]
    referrers = await chain.ask(TWO, f"referrers/{chain.images[TWO].digest}")
    assert [found["digest"] for found in json.loads(referrers.body)["manifests"]] == [str(signature.digest)]
    assert (await chain.ask(ONE, f"blobs/{Digest.of(b'two')}")).status == 404
    assert (await chain.ask(TWO, f"blobs/{Digest.of(b'two')}")).body == b"two"
    assert (await chain.ask(TWO, f"blobs/{Digest.of(b'only two')}", "HEAD")).status == 200


async def test_n13_18_what_a_registry_does_not_have_is_not_taken_from_the_other(chain: Chain) -> None:
    assert (await chain.ask(ONE, "manifests/only-two")).status == 404
    assert (await chain.ask(TWO, "manifests/only-two")).status == 200


@pytest.mark.parametrize("rest", ["manifests/1", "manifests/only-two", "tags/list"])
async def test_n13_18_a_cache_that_is_not_called_one_is_refused_for_another_registry(tmp_path: Path, rest: str) -> None:
    async with _chain(tmp_path, {ONE: {}, TWO: {}}) as chain:
        answer = await chain.ask(TWO, rest)
        assert (answer.status, b"kind: cache" in answer.body) == (502, True)
        right = await chain.ask(ONE, "manifests/1")
        assert right.headers["Docker-Content-Digest"] == str(chain.images[ONE].digest), "the cluster's default is provably what was meant"


async def test_n13_18_an_older_cache_that_names_no_registry_is_refused(tmp_path: Path) -> None:
    async with FakeRegistry() as upstream, rig(tmp_path / "store", {"docker.io": upstream.url}) as proxy:
        upstream.add_image(NAME, "1", [b"layer"])
        upstream.misbehave("/v2/", Headers({"Cache-Status": "regproxy; hit"}))
        answer = await proxy.ask(f"/v2/{NAME}/manifests/1")
        assert (answer.status, b"kind: cache" in answer.body) == (502, True)


async def test_n13_18_a_prefix_names_the_registry_as_well(tmp_path: Path) -> None:
    async with _chain(tmp_path, {TWO: {"prefix": TWO}}) as chain:
        answer = await chain.ask(TWO, "manifests/1")
        assert answer.headers["Docker-Content-Digest"] == str(chain.images[TWO].digest)


async def test_n13_18_a_registry_that_the_cluster_does_not_serve_is_an_error_that_says_so(tmp_path: Path) -> None:
    async with _chain(tmp_path, {ONE: {"kind": "cache"}, TWO: {"kind": "cache"}}, ONE) as chain:
        answer = await chain.ask(TWO, "manifests/1")
        assert (answer.status, f"does not serve {TWO}".encode() in answer.body) == (502, True)


async def test_n13_18_a_prefix_that_the_cluster_does_not_know_is_no_image_of_its_default(tmp_path: Path) -> None:
    async with _chain(tmp_path, {TWO: {"prefix": TWO}}, ONE) as chain:
        chain.one.add_image(f"{TWO}/{NAME}", "1", [b"another"])
        assert (await chain.ask(TWO, "manifests/1")).status == 502


@pytest.mark.parametrize("namespace", [None, "", "other.test", ["docker.io", "other.test"]])
async def test_n13_18_a_cache_that_names_no_registry_or_another_is_believed_in_no_tag(
    tmp_path: Path, namespace: str | list[str] | None
) -> None:
    """So are Spegel for what its peers have, and Dragonfly."""
    host = {"kind": "cache"}
    async with FakeRegistry() as upstream:
        image = upstream.add_image(NAME, "1", [b"layer"])
        upstream.misbehave("/v2/", Headers({"OCI-Namespace": namespace}))
        async with rig(tmp_path / "store", {"docker.io": {"hosts": [{"url": upstream.url, **host}]}}) as proxy:
            for rest in ("manifests/1", "manifests/2", "tags/list", f"referrers/{image.digest}"):
                assert (await proxy.ask(f"/v2/{NAME}/{rest}")).status == 502
            assert (await proxy.ask(f"/v2/{NAME}/manifests/{image.digest}")).status == 200, "bytes are verified"
            assert (await proxy.ask(f"/v2/{NAME}/blobs/{Digest.of(b'layer')}")).body == b"layer"
        assert {tuple(entry.query["ns"]) for entry in upstream.ledger} == {("docker.io",)}


async def test_n13_18_a_cache_that_only_sends_content_is_asked_with_ns_and_needs_to_name_nothing(tmp_path: Path) -> None:
    async with FakeRegistry() as spegel, FakeRegistry() as registry:
        image = registry.add_image(NAME, "1", [b"layer"])
        spegel.add_image(NAME, "1", [b"layer"])
        spegel.add_image(NAME, "1", [b"stale"])
        hosts = [{"url": spegel.url, "kind": "cache", "trust": ["pull"]}, {"url": registry.url}]
        async with rig(tmp_path / "store", {"docker.io": {"hosts": hosts}}) as proxy:
            answer = await proxy.ask(f"/v2/{NAME}/manifests/1")
            assert answer.headers["Docker-Content-Digest"] == str(image.digest)
            assert (await proxy.ask(f"/v2/{NAME}/blobs/{Digest.of(b'layer')}")).body == b"layer"
        assert spegel.count("GET", "blobs") == 1
        assert {tuple(entry.query["ns"]) for entry in spegel.ledger} == {("docker.io",)}
        assert all("ns" not in entry.query for entry in registry.ledger)


async def test_n13_18_the_registrys_password_is_not_for_a_cache_of_it(tmp_path: Path) -> None:
    async with FakeRegistry(auth="basic") as cache:
        cache.add_image(NAME, "1", [b"layer"])
        entry = {"hosts": [{"url": cache.url, "kind": "cache"}], "credentials": {"username": "user", "password": "canary-password"}}
        async with rig(tmp_path / "store", {"docker.io": entry}) as proxy:
            assert (await proxy.ask(f"/v2/{NAME}/manifests/1")).status in {403, 502}
        assert all("authorization" not in entry.headers for entry in cache.ledger)


_PATHS = [
    f"{NAME}/manifests/1",
    f"{NAME}/manifests/2",
    f"{NAME}/manifests/-no-tag-",
    f"{NAME}/tags/list",
    f"{NAME}/tags/list?n=x",
    f"{NAME}/blobs/{Digest.of(b'one')}",
    f"{NAME}/blobs/{Digest.of(b'none')}",
    f"{NAME}/blobs/sha256:bad",
    f"{NAME}/referrers/{Digest.of(b'one')}",
    "nobody/tags/list",
    "NO/NAME/tags/list",
    "no-endpoint",
]


async def test_n13_18_every_answer_that_used_ns_says_so(chain: Chain) -> None:
    for path in _PATHS:
        for method in ("GET", "HEAD", "PUT"):
            answer = await chain.cluster.ask(f"/v2/{path}{'&' if '?' in path else '?'}ns={TWO}", method)
            assert answer.headers.get("OCI-Namespace") == TWO, (method, path)


async def test_n13_18_an_unknown_registry_is_not_claimed(chain: Chain) -> None:
    answer = await chain.cluster.ask(f"/v2/{NAME}/manifests/1?ns=other.test")
    assert (answer.status, "OCI-Namespace" in answer.headers) == (404, False)


@pytest.mark.parametrize("rest", ["manifests/1", "blobs"])
async def test_n17_12_a_node_tells_why_the_clusters_cache_cannot_serve(chain: Chain, rest: str) -> None:
    chain.one.misbehave("/v2/", Status(503))
    rest = f"blobs/{Digest.of(b'one')}" if rest == "blobs" else rest
    answer = await chain.ask(ONE, rest)
    cluster, registry = f"{LOOPBACK}:{chain.cluster.port}", chain.one.url.removeprefix("http://")
    assert answer.status == 502
    assert f"{cluster} answered 502 for {ONE}/{NAME}".encode() in answer.body
    assert f"{registry} answered 503 for {ONE}/{NAME}".encode() in answer.body


async def test_n17_12_explain_at_a_node_tells_why_the_clusters_cache_cannot_serve(chain: Chain) -> None:
    chain.one.misbehave("/v2/", Status(503))
    _, explained = await chain.node.admin(f"explain?image={ONE}/{NAME}:1")
    told = [step["found"] for step in explained["steps"] if step["mark"] == "bad"]
    assert any(f"{chain.one.url.removeprefix('http://')} answered 503" in each for each in told), told


async def test_n17_12_explain_believes_no_host_whose_head_fails(tmp_path: Path) -> None:
    async with FakeRegistry() as upstream, rig(tmp_path / "store", {"docker.io": upstream.url}) as proxy:
        upstream.add_image(NAME, "1", [b"layer"])
        upstream.misbehave(on("HEAD"), Status(503))
        _, explained = await proxy.admin(f"explain?image=docker.io/{NAME}:1")
        assert [step["found"] for step in explained["steps"] if step["mark"] == "bad"], explained


@pytest.mark.parametrize("size", [5 << 20, 24 << 20])
async def test_n15_01_a_layer_through_two_caches_is_asked_of_its_registry_once(chain: Chain, size: int) -> None:
    """A cache that is asked for a part of what it does not have passes that part through, beside the whole."""
    layer = bytes(size)
    chain.one.add_image(NAME, "large", [layer])
    answer = await chain.ask(ONE, f"blobs/{Digest.of(layer)}")
    assert (answer.status, len(answer.body)) == (200, size)
    assert sum(entry.sent for entry in chain.one.ledger if entry.kind == "blobs") == size
