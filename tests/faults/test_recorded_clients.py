"""Clients that cannot be built here, in the requests that their sources make; each row of docs/clients.md that has no program names one."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from email import message_from_bytes
from pathlib import Path

import pytest

from regproxy.oci.digest import Digest
from tests.fakes.registry import FakeRegistry
from tests.rig import Answer, Rig, rig

OCI_MANIFEST, OCI_INDEX = "application/vnd.oci.image.manifest.v1+json", "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST, DOCKER_LIST = (f"application/vnd.docker.distribution.manifest.{kind}+json" for kind in ("v2", "list.v2"))
LAYER = random.Random(62).randbytes(20_000_000)
CHUNK = 50_000  # bytes; stargz-snapshotter, fs/remote/resolver.go
GHCR = "ghcr.regproxy.example"

Span = tuple[int, int]


@pytest.fixture
async def cache(upstream: FakeRegistry, tmp_path: Path) -> AsyncIterator[Rig]:
    """Run regproxy for two registries, of which one also has a name of its own."""
    hosts = [{"url": upstream.url}]
    async with rig(tmp_path / "store", {"docker.io": {"hosts": hosts}, "ghcr.io": {"hosts": hosts, "serve_as": [GHCR]}}) as running:
        yield running


def parts(answer: Answer) -> dict[Span, bytes]:
    """Read what came of a 206, in one part or several, by its place (RFC 9110, 14.6)."""
    kind = answer.headers["Content-Type"]
    if not kind.startswith("multipart/byteranges"):
        return {_place(answer.headers["Content-Range"]): answer.body}
    message = message_from_bytes(f"Content-Type: {kind}\r\n\r\n".encode() + answer.body)
    found = {}
    for part in message.get_payload():
        assert not isinstance(part, str)
        body = part.get_payload(decode=True)
        assert isinstance(body, bytes)
        found[_place(part["Content-Range"])] = body
    return found


def _place(content_range: str) -> Span:
    first, last = content_range.removeprefix("bytes ").partition("/")[0].split("-")
    return int(first), int(last) + 1


def _ranges(spans: Sequence[Span]) -> str:
    return "bytes=" + ",".join(f"{start}-{stop - 1}" for start, stop in spans)


@pytest.mark.parametrize("has_head", [True, False], ids=["stargz", "soci"])
async def test_n19_05_a_lazy_snapshotter_reads_a_layer_that_is_not_cached(upstream: FakeRegistry, cache: Rig, *, has_head: bool) -> None:
    """Where is it, how long is it, its end with the table of contents, then chunks as they are needed, several in one request.

    fs/remote/resolver.go of stargz-snapshotter 0.18 and of soci-snapshotter 0.11, which takes the size from the manifest.
    """
    digest = upstream.add_blob("library/app", LAYER)
    path = f"/v2/library/app/blobs/{digest}?ns=docker.io"
    assert (await cache.ask(path, Range="bytes=0-1")).body == LAYER[:2]
    if has_head:
        assert (await cache.ask(path, "HEAD")).headers["Content-Length"] == str(len(LAYER))
    chance = random.Random(7)
    footer, contents = (len(LAYER) - 51, len(LAYER)), (len(LAYER) - 400_000, len(LAYER) - 51)
    chunks = [(start * CHUNK, (start + 1) * CHUNK) for start in sorted(chance.sample(range(len(LAYER) // CHUNK), 60))]
    wanted: list[Sequence[Span]] = [[footer], [contents], *(chunks[first : first + 6] for first in range(0, 60, 6))]
    for spans in wanted:
        answer = await cache.ask(path, Range=_ranges(spans), Accept_Encoding="identity")
        assert answer.status == 206
        got = parts(answer)
        assert all(body == LAYER[start:stop] for (start, stop), body in got.items())
        assert all(any(start <= first and last <= stop for start, stop in got) for first, last in spans)
    await cache.settled()
    sent = sum(entry.sent for entry in upstream.ledger if entry.kind == "blobs" and entry.method == "GET")
    assert sent <= 1.02 * len(LAYER)


@pytest.mark.parametrize("authorization", [None, "Bearer QQ=="], ids=["mirror", "token"])
async def test_n19_05_homebrew_pours_a_bottle(upstream: FakeRegistry, cache: Rig, authorization: str | None) -> None:
    """By HOMEBREW_ARTIFACT_DOMAIN, which has room for a host alone: download_strategy.rb and github_packages.rb of 4.6.

    It asks by curl: the head, then the body, from where an earlier attempt ended. QQ== is its token where none is needed.
    """
    bottle = LAYER[:300_000]
    upstream.add_image("homebrew/core/hello", "2.12.1", [bottle])
    headers = {"Host": GHCR, "User_Agent": "Homebrew/4.6.3 (Linux; x86_64) curl/8.5.0", "Accept_Language": "en"}
    if authorization is not None:
        headers["Authorization"] = authorization
    manifest = await cache.ask("/v2/homebrew/core/hello/manifests/2.12.1", **headers, Accept=OCI_INDEX)
    assert (manifest.status, json.loads(manifest.body)["layers"][0]["digest"]) == (200, str(Digest.of(bottle)))
    path = f"/v2/homebrew/core/hello/blobs/{Digest.of(bottle)}"
    for _ in range(2):
        head = await cache.ask(path, "HEAD", **headers)
        assert (head.status, head.headers["Content-Length"]) == (200, str(len(bottle)))
        assert (await cache.ask(path, **headers, Range="bytes=100000-")).body == bottle[100_000:]
        assert (await cache.ask(path, **headers)).body == bottle


@pytest.mark.parametrize(
    ("agent", "name"),
    [("trivy/0.65.0 go-containerregistry/v0.20.6", "aquasecurity/trivy-db"), ("kaniko/v1.24.0 go-containerregistry/v0.20.3", "team/app")],
    ids=["trivy", "kaniko"],
)
async def test_n19_05_what_go_containerregistry_asks_for(upstream: FakeRegistry, cache: Rig, agent: str, name: str) -> None:
    """pkg/v1/remote: a ping, the manifest by all types it knows, then the config and the layers at once; the registry comes first."""
    layers = [LAYER[:100_000], LAYER[100_000:150_000]]
    upstream.add_image(name, "2", layers)
    headers = {"User_Agent": agent}
    ping = await cache.ask("/v2/", **headers)
    assert (ping.status, ping.headers["Docker-Distribution-Api-Version"]) == (200, "registry/2.0")
    known = ",".join((DOCKER_MANIFEST, OCI_MANIFEST, DOCKER_LIST, OCI_INDEX))
    answer = await cache.ask(f"/v2/ghcr.io/{name}/manifests/2", **headers, Accept=known)
    assert answer.status == 200
    manifest = json.loads(answer.body)
    assert answer.headers["Content-Type"] == manifest["mediaType"]
    wanted = [manifest["config"], *manifest["layers"]]
    bodies = await asyncio.gather(*(cache.ask(f"/v2/ghcr.io/{name}/blobs/{each['digest']}", **headers) for each in wanted))
    assert [str(Digest.of(each.body)) for each in bodies] == [each["digest"] for each in wanted]


async def test_n19_05_a_feature_of_a_dev_container_is_fetched(upstream: FakeRegistry, cache: Rig) -> None:
    """By src/spec-configuration/containerCollectionsOCI.ts of 0.80: a blob, too, is asked for with the type of a manifest."""
    feature, settings = LAYER[:20_000], b"{}"
    name = "devcontainers/features/go"
    for body in (feature, settings):
        upstream.add_blob(name, body)
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": _descriptor("application/vnd.devcontainers", settings),
        "layers": [_descriptor("application/vnd.devcontainers.layer.v1+tar", feature)],
    }
    upstream.add_manifest(name, json.dumps(document).encode(), OCI_MANIFEST, "1")
    headers: Mapping[str, str] = {"User_Agent": "devcontainer"}
    answer = await cache.ask(f"/v2/ghcr.io/{name}/manifests/1", **headers, Accept=OCI_MANIFEST)
    assert answer.headers["Docker-Content-Digest"] == str(Digest.of(answer.body))
    assert json.loads(answer.body) == document
    blob = await cache.ask(f"/v2/ghcr.io/{name}/blobs/{Digest.of(feature)}", **headers, Accept=OCI_MANIFEST)
    assert (blob.status, blob.body) == (200, feature)
    tags = await cache.ask(f"/v2/ghcr.io/{name}/tags/list", **headers, Accept="application/json")
    assert json.loads(tags.body)["tags"] == ["1"]


def _descriptor(kind: str, body: bytes) -> dict[str, object]:
    return {"mediaType": kind, "digest": str(Digest.of(body)), "size": len(body)}
