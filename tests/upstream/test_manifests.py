"""What a host's answer about a manifest proves, and whose fault it is where it proves nothing."""

import json

import pytest

from regproxy.oci.digest import Digest
from regproxy.oci.manifest import OCI_INDEX
from regproxy.oci.reference import Reference, Repository, Tag
from regproxy.ports import Corrupt, InvalidContent, NotFound, UnexpectedResponse, UpstreamError
from regproxy.upstream.host import HostClient
from regproxy.upstream.manifests import get_manifest, head_manifest
from tests.fakes.deeds import Headers, Lie, Status
from tests.fakes.entry import on
from tests.fakes.registry import FakeRegistry

NAME = "library/app"
APP = Repository("docker.io", NAME)
BY_TAG = Reference(APP, Tag("1"))


@pytest.fixture
def digest(upstream: FakeRegistry) -> Digest:
    return upstream.add_image(NAME, "1", [b"layer"]).digest


async def test_a_head_tells_the_digest_alone(client: HostClient, upstream: FakeRegistry, digest: Digest) -> None:
    assert await head_manifest(client, BY_TAG) == digest
    assert [entry.method for entry in upstream.ledger] == ["HEAD"]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405])
async def test_a_head_that_is_refused_is_no_answer(client: HostClient, upstream: FakeRegistry, digest: Digest, status: int) -> None:
    """It may be the method that is refused."""
    upstream.misbehave(on("HEAD"), Status(status))
    assert await head_manifest(client, BY_TAG) is None
    assert (await get_manifest(client, BY_TAG)).descriptor.digest == digest


@pytest.mark.parametrize("claimed", ["", "sha256:0", "md5:abc", "text"])
async def test_a_digest_that_is_none_is_not_told(client: HostClient, upstream: FakeRegistry, digest: Digest, claimed: str) -> None:
    upstream.misbehave("/manifests/", Headers({"Docker-Content-Digest": claimed}))
    assert await head_manifest(client, BY_TAG) is None
    assert (await get_manifest(client, BY_TAG)).descriptor.digest == digest, "the body says what it is"


async def test_wrong_bytes_for_a_digest_are_the_hosts_fault(client: HostClient, upstream: FakeRegistry, digest: Digest) -> None:
    upstream.misbehave("/manifests/", Lie(b"{}"))
    with pytest.raises(Corrupt, match="sent wrong bytes for"):
        await get_manifest(client, Reference(APP, digest))


BODIES: dict[str, tuple[bytes, type[UpstreamError]]] = {
    "a web page": (b"<html></html>", UnexpectedResponse),
    "nothing": (b"", UnexpectedResponse),
    "a part of a manifest": (b'{"schemaVersion": 2', UnexpectedResponse),
    "JSON that is no manifest": (b"{}", InvalidContent),
    "a manifest of a kind that is no longer served": (b'{"schemaVersion": 1}', InvalidContent),
    "more values than are read": (b'{"a": [' + b"{}," * 1_000_000 + b"{}]}", InvalidContent),
    "more bytes than are read": (b'{"schemaVersion": 2, "a": "' + b"x" * 5_000_000 + b'"}', InvalidContent),
}


@pytest.mark.parametrize("what", BODIES)
async def test_what_a_tag_means_may_be_its_authors_fault(client: HostClient, upstream: FakeRegistry, what: str) -> None:
    body, error = BODIES[what]
    upstream.add_manifest(NAME, body, OCI_INDEX, "1")
    upstream.misbehave("/manifests/", Headers({"Docker-Content-Digest": ""}))
    with pytest.raises(error):
        await get_manifest(client, BY_TAG)


async def test_what_is_not_there_is_an_answer(client: HostClient) -> None:
    with pytest.raises(NotFound, match=f"{NAME}:1"):
        await get_manifest(client, BY_TAG)


async def test_a_tag_may_be_known_by_another_digest_than_the_usual_one(client: HostClient, upstream: FakeRegistry) -> None:
    body = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}).encode()
    digest = upstream.add_manifest(NAME, body, OCI_INDEX, "1", "sha512")
    assert (await get_manifest(client, BY_TAG)).descriptor.digest == digest
