"""What is served is right, byte for byte, or clearly refused: integrity and poisoning, by row."""

import asyncio
import json
import random
from pathlib import Path

import pytest

from regproxy.oci.digest import Digest
from regproxy.ports import Kind
from tests.fakes.deeds import Chunked, Deed, Flood, Headers, Lie, NoLength, NoRanges, ShortChunked
from tests.fakes.entry import on
from tests.fakes.registry import FakeRegistry
from tests.rig import Rig, get, raw, rig

NAME = "library/app"
TAG = f"/v2/{NAME}/manifests/1?ns=docker.io"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"


def _blob(digest: object) -> str:
    return f"/v2/{NAME}/blobs/{digest}?ns=docker.io"


def _manifest(digest: object) -> str:
    return f"/v2/{NAME}/manifests/{digest}?ns=docker.io"


async def test_s10_a_wrong_manifest_for_a_digest_is_refused_whole(upstream: FakeRegistry, proxy: Rig) -> None:
    digest = upstream.add_image(NAME, None, [b"layer"]).digest
    upstream.misbehave("/manifests/", Lie(b'{"schemaVersion": 2}'), times=1)
    answer = await proxy.ask(_manifest(digest))
    assert answer.status == 502
    assert b"schemaVersion" not in answer.body
    assert (await proxy.ask(_manifest(digest))).status == 200, "the next ask gets it right"


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
async def test_s10_a_wrong_blob_never_ends_well(upstream: FakeRegistry, proxy: Rig, algorithm: str) -> None:
    digest = upstream.add_blob(NAME, b"right" * 1000, algorithm)
    upstream.misbehave("/blobs/", Lie(b"wrong" * 1000), times=1)
    assert not (await proxy.ask(_blob(digest))).is_whole
    assert (await proxy.ask(_blob(digest))).body == b"right" * 1000


async def test_s10_an_unknown_algorithm_is_refused(upstream: FakeRegistry, proxy: Rig) -> None:
    answer = await proxy.ask(_blob(f"md5:{'a' * 32}"))
    assert (answer.status, json.loads(answer.body)["errors"][0]["code"]) == (400, "DIGEST_INVALID")
    assert upstream.ledger == []


@pytest.mark.parametrize("claimed", ["sha256:" + "f" * 64, "nonsense", None], ids=["another", "nonsense", "none"])
async def test_s11_the_digest_we_tell_is_the_one_we_computed(upstream: FakeRegistry, proxy: Rig, claimed: str | None) -> None:
    descriptor = upstream.add_image(NAME, "1", [b"layer"])
    upstream.misbehave("/manifests/", Headers({"Docker-Content-Digest": claimed}))
    for method in ("HEAD", "GET", "HEAD"):
        assert (await proxy.ask(TAG, method)).headers["Docker-Content-Digest"] == str(descriptor.digest)


AMBIGUOUS = [
    pytest.param({"manifests": [], "layers": []}, OCI_INDEX, id="index and image"),
    pytest.param({"manifests": [], "config": {}}, OCI_MANIFEST, id="index with config"),
    pytest.param({"mediaType": OCI_MANIFEST, "manifests": []}, OCI_MANIFEST, id="type and shape disagree"),
]


@pytest.mark.parametrize(("document", "media_type"), AMBIGUOUS)
async def test_s12_a_manifest_that_can_be_read_in_two_ways_is_refused(
    upstream: FakeRegistry, proxy: Rig, document: dict[str, object], media_type: str
) -> None:
    digest = upstream.add_manifest(NAME, json.dumps({"schemaVersion": 2, **document}).encode(), media_type)
    for _ in range(2):
        assert (await proxy.ask(_manifest(digest))).status == 422
    assert await proxy.proxy.index.known(Kind.MANIFEST, digest) is None, "nothing was kept"


async def test_s12_one_digest_has_one_content_type_for_ever(upstream: FakeRegistry, proxy: Rig) -> None:
    body = b'{"schemaVersion": 2, "config": {}, "layers": []}'
    digest = upstream.add_manifest(NAME, body, f"{OCI_MANIFEST}; charset=utf-8")
    upstream.add_manifest("library/other", body, "application/vnd.example.other+json")
    first = await proxy.ask(_manifest(digest))
    second = await proxy.ask(_manifest(digest))
    other = await proxy.ask(f"/v2/library/other/manifests/{digest}?ns=docker.io")
    assert [answer.headers["Content-Type"] for answer in (first, second, other)] == [OCI_MANIFEST] * 3


async def test_a_blob_that_is_a_manifest_too_does_not_change_its_type(upstream: FakeRegistry, proxy: Rig) -> None:
    """Whoever pulls a manifest as a blob first must not make it an octet-stream for all others."""
    descriptor = upstream.add_image(NAME, "1", [b"layer"])
    body = upstream.repositories[NAME].manifests[descriptor.digest].body
    upstream.add_blob(NAME, body)
    assert (await proxy.ask(_blob(descriptor.digest))).body == body
    assert (await proxy.ask(_manifest(descriptor.digest))).headers["Content-Type"] == OCI_MANIFEST


INCOMPLETE = [
    pytest.param([NoRanges(), NoLength(at=500)], id="no length, FIN"),
    pytest.param([NoRanges(), ShortChunked(at=500)], id="chunked, and well formed"),
    pytest.param([Lie(lambda body: body[:500] + b'{"errors": []}'.ljust(len(body) - 500))], id="an error up to the length"),
]


@pytest.mark.parametrize("deeds", INCOMPLETE)
async def test_s13_what_is_incomplete_is_not_kept(upstream: FakeRegistry, proxy: Rig, deeds: list[Deed]) -> None:
    body = random.Random(1).randbytes(1000)
    digest = upstream.add_blob(NAME, body)
    upstream.misbehave(on("GET", "/blobs/"), *deeds, times=1)
    answer = await proxy.ask(_blob(digest))
    assert answer.status >= 500 or not answer.is_whole or answer.body == body  # it may have been asked for anew
    await proxy.settled()
    assert (await proxy.ask(_blob(digest))).body == body


async def test_s14_one_name_in_two_registries_is_two_things(tmp_path: Path) -> None:
    async with FakeRegistry() as hub, FakeRegistry() as quay:
        held = {"docker.io": hub.add_image(NAME, "1", [b"hub"]).digest, "quay.io": quay.add_image(NAME, "1", [b"quay"]).digest}
        async with rig(tmp_path / "store", {"docker.io": hub.url, "quay.io": quay.url}) as proxy:
            asked = [random.Random(number).choice(list(held)) for number in range(300)]
            answers = await asyncio.gather(*(proxy.ask(f"/v2/{NAME}/manifests/1?ns={name}") for name in asked))
    assert [answer.headers["Docker-Content-Digest"] for answer in answers] == [str(held[name]) for name in asked]


async def test_s14_host_headers_and_absolute_targets_change_nothing(upstream: FakeRegistry, proxy: Rig) -> None:
    descriptor = upstream.add_image(NAME, "1", [b"layer"])
    disguises = [
        get(TAG).replace(b"Host: proxy", b"Host: quay.io"),
        get(TAG, **{"X-Forwarded-Host": "quay.io", "Forwarded": "host=quay.io"}),
        get(f"http://evil.example{TAG}"),
    ]
    for request in disguises:
        answer = await raw(proxy.port, request)
        assert f"Docker-Content-Digest: {descriptor.digest}".encode() in answer.received
    assert len(upstream.ledger) == 3


@pytest.mark.parametrize("method", ["PUT", "POST", "PATCH", "DELETE"])
@pytest.mark.parametrize("path", ["manifests/1", f"blobs/sha256:{'a' * 64}", "blobs/uploads/", "blobs/uploads/1234", "tags/list"])
async def test_s15_nobody_writes(upstream: FakeRegistry, proxy: Rig, method: str, path: str) -> None:
    answer = await proxy.ask(f"/v2/{NAME}/{path}", method, Authorization="Basic c2Nhbm5lci1hOmI=")
    assert (answer.status, json.loads(answer.body)["errors"][0]["code"]) == (405, "UNSUPPORTED")
    assert answer.headers["Allow"] == "GET, HEAD"
    assert upstream.ledger == []


async def test_s16_u27_a_plain_mirror_is_never_asked_what_a_tag_means(tmp_path: Path) -> None:
    async with FakeRegistry() as mirror, FakeRegistry() as origin:
        mirror.add_image(NAME, "1", [b"stale"])
        truth = origin.add_image(NAME, "1", [b"fresh"])
        hosts = [{"url": mirror.url, "trust": ["pull"]}, {"url": origin.url}]
        async with rig(tmp_path / "store", {"docker.io": {"hosts": hosts}}) as proxy:
            assert (await proxy.ask(TAG)).headers["Docker-Content-Digest"] == str(truth.digest)
        assert mirror.ledger == []


async def test_s19_a_blob_is_served_only_where_it_is_held(upstream: FakeRegistry, proxy: Rig) -> None:
    digest = upstream.add_blob("private/a", b"secret")
    assert (await proxy.ask(f"/v2/private/a/blobs/{digest}?ns=docker.io")).body == b"secret"
    for method in ("GET", "HEAD"):
        assert (await proxy.ask(f"/v2/public/b/blobs/{digest}?ns=docker.io", method)).status == 404


async def test_a_shared_blob_is_asked_about_but_not_fetched_again(upstream: FakeRegistry, proxy: Rig) -> None:
    digest = upstream.add_blob("library/a", b"base layer")
    upstream.add_blob("library/b", b"base layer")
    for name in ("library/a", "library/b", "library/b"):
        assert (await proxy.ask(f"/v2/{name}/blobs/{digest}?ns=docker.io")).body == b"base layer"
    assert (upstream.count("GET", "blobs"), upstream.count("HEAD", "blobs")) == (1, 1)


@pytest.mark.parametrize("framing", [[], [NoLength()], [Chunked()]], ids=["with a length", "without a length", "chunked"])
@pytest.mark.parametrize("path", ["/manifests/", "/token"])
async def test_s31_bodies_have_an_end(tmp_path: Path, framing: list[Deed], path: str) -> None:
    """4 MiB of manifest and 256 KiB of token are enough; of 1 GiB no more is read."""
    async with FakeRegistry("anonymous") as upstream:
        upstream.add_image(NAME, "1", [b"layer"])
        upstream.misbehave(on("GET", path), Flood(1024**3), *framing)
        async with rig(tmp_path / "store", {"docker.io": upstream.url}) as proxy:
            assert (await proxy.ask(TAG)).status == (422 if path == "/manifests/" else 502)
        assert max(entry.sent for entry in upstream.ledger) < 64 * 1024**2


@pytest.mark.parametrize("encoding", ["gzip", "br", "zstd", "deflate"])
@pytest.mark.parametrize("path", ["/manifests/", "/token", "/blobs/"])
async def test_s32_nothing_is_decompressed(tmp_path: Path, encoding: str, path: str) -> None:
    async with FakeRegistry("anonymous") as upstream:
        upstream.add_image(NAME, "1", [b"layer"])
        digest = Digest.of(b"layer")
        upstream.misbehave(path, Headers({"Content-Encoding": encoding}))
        async with rig(tmp_path / "store", {"docker.io": upstream.url}) as proxy:
            answer = await proxy.ask(_blob(digest) if path == "/blobs/" else TAG)
        assert answer.status == 502
        assert {entry.headers["accept-encoding"] for entry in upstream.ledger} == {"identity"}
