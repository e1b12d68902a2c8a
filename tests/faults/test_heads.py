"""HEAD is a hint: before no is said, or something stale is served, GET tells."""

from collections.abc import AsyncIterator

import pytest

from regproxy.oci.digest import Digest
from tests.fakes.deeds import Headers, Redirect, Status
from tests.fakes.entry import Entry, on
from tests.fakes.registry import FakeRegistry
from tests.rig import Rig

NAME = "library/app"
BLOB = b"a layer of some length"
REFUSALS = [400, 401, 403, 404, 405, 406, 410, 412, 500, 501]


def _manifest(target: object) -> str:
    return f"/v2/{NAME}/manifests/{target}"


def _blob(body: bytes) -> str:
    return f"/v2/{NAME}/blobs/{Digest.of(body)}"


@pytest.fixture
async def storage(upstream: FakeRegistry) -> AsyncIterator[FakeRegistry]:
    """Send whoever asks the upstream for a blob elsewhere."""

    def location(entry: Entry) -> str:
        return f"{elsewhere.url}{entry.path}"

    async with FakeRegistry() as elsewhere:
        upstream.misbehave("/blobs/", Redirect(location))
        yield elsewhere


@pytest.mark.parametrize("status", REFUSALS)
async def test_n13_11_a_tag_whose_head_is_refused_is_revalidated_by_get(upstream: FakeRegistry, proxy: Rig, status: int) -> None:
    first = upstream.add_image(NAME, "1", [b"layer"])
    upstream.misbehave(on("HEAD"), Status(status))
    assert (await proxy.ask(_manifest("1"))).headers["Docker-Content-Digest"] == str(first.digest)
    moved = upstream.add_image(NAME, "1", [b"another"])
    answer = await proxy.ask(_manifest("1"))
    assert (answer.status, answer.headers["Docker-Content-Digest"], "Warning" in answer.headers) == (200, str(moved.digest), False)
    assert [host["backoff_seconds"] for host in await proxy.hosts()] == [0]


@pytest.mark.parametrize("status", REFUSALS)
async def test_n13_11_a_digest_whose_head_is_refused_is_confirmed_by_get(upstream: FakeRegistry, proxy: Rig, status: int) -> None:
    digest = upstream.add_image(NAME, "1", [b"layer"]).digest
    upstream.add_image("library/second", "1", [b"layer"])
    upstream.misbehave(on("HEAD"), Status(status))
    for name in (NAME, "library/second"):
        assert (await proxy.ask(f"/v2/{name}/manifests/{digest}")).status == 200


@pytest.mark.parametrize("status", [404, 403, 410])
async def test_n13_11_what_get_refuses_too_is_refused(upstream: FakeRegistry, proxy: Rig, status: int) -> None:
    upstream.add_image(NAME, "1", [b"layer"])
    assert (await proxy.ask(_manifest("1"))).status == 200
    upstream.misbehave("/v2/", Status(status))
    assert (await proxy.ask(_manifest("1"))).status == status
    assert (await proxy.ask(_blob(b"unknown"), "HEAD")).status == status


@pytest.mark.parametrize("status", REFUSALS)
async def test_n13_11_a_blob_whose_head_is_refused_is_described_by_get(upstream: FakeRegistry, proxy: Rig, status: int) -> None:
    upstream.add_blob(NAME, BLOB)
    upstream.misbehave(on("HEAD"), Status(status))
    answer = await proxy.ask(_blob(BLOB), "HEAD")
    assert (answer.status, answer.headers["Content-Length"]) == (200, str(len(BLOB)))
    assert max(entry.sent for entry in upstream.ledger) <= 1, "one byte, not all of it"


@pytest.mark.parametrize("status", [404, 405])
async def test_n13_11_a_host_that_takes_no_head_can_be_pulled_from(upstream: FakeRegistry, proxy: Rig, status: int) -> None:
    upstream.add_image(NAME, "1", [b"layer"])
    upstream.misbehave(on("HEAD"), Status(status))
    found, explained = await proxy.admin(f"explain?image=docker.io/{NAME}:1")
    assert found == 200
    assert "it can be pulled" in str(explained)


async def test_n13_17_a_length_of_nothing_is_not_believed(upstream: FakeRegistry, proxy: Rig) -> None:
    upstream.add_blob(NAME, BLOB)
    upstream.misbehave(on("HEAD"), Headers({"Content-Length": "0"}))
    assert (await proxy.ask(_blob(BLOB), "HEAD")).headers["Content-Length"] == str(len(BLOB))


async def test_n13_17_a_length_of_nothing_to_everything_is_not_believed(upstream: FakeRegistry, proxy: Rig) -> None:
    """Not by a GET either, which has an empty body then."""
    upstream.add_blob(NAME, BLOB)
    upstream.misbehave("/blobs/", Status(200, {"Content-Length": "0"}))
    assert (await proxy.ask(_blob(BLOB), "HEAD")).status == 502


async def test_n13_17_an_empty_blob_has_no_length(upstream: FakeRegistry, proxy: Rig) -> None:
    upstream.add_blob(NAME, b"")
    assert (await proxy.ask(_blob(b""), "HEAD")).headers["Content-Length"] == "0"


async def test_n13_17_cold_heads_are_no_gets(upstream: FakeRegistry, storage: FakeRegistry, proxy: Rig) -> None:
    bodies = [b"%d" % number * 7 for number in range(1, 40)]
    for body in bodies:
        upstream.add_blob(NAME, body)
        storage.add_blob(NAME, body)
    for body in (*bodies, *bodies):
        assert (await proxy.ask(_blob(body), "HEAD")).headers["Content-Length"] == str(len(body))
    assert [server.count("GET", "blobs") for server in (upstream, storage)] == [0, 0]
    assert [server.count("HEAD", "blobs") for server in (upstream, storage)] == [len(bodies), len(bodies)], "once each"


async def test_n13_11_storage_that_takes_no_head_is_asked_by_get(upstream: FakeRegistry, storage: FakeRegistry, proxy: Rig) -> None:
    """What is signed for a GET is refused to a HEAD."""
    upstream.add_blob(NAME, BLOB)
    storage.add_blob(NAME, BLOB)
    storage.misbehave(on("HEAD"), Status(403))
    assert (await proxy.ask(_blob(BLOB), "HEAD")).headers["Content-Length"] == str(len(BLOB))
    assert (upstream.count("HEAD", "blobs"), upstream.count("GET", "blobs")) == (1, 1)
