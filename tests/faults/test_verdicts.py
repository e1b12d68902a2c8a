"""What an answer of upstream means: for the thing that was asked for, for all others, and for what is stale."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from regproxy.config import load
from regproxy.fleet.memory import NullFleet, SharedFleet
from regproxy.oci.digest import Digest
from regproxy.oci.errors import RegistryError
from regproxy.oci.reference import Tag
from regproxy.ports import Refused, Rejected
from regproxy.wiring import Serving, kept, serving
from tests.fakes.deeds import Drop, Headers, Lie, Status
from tests.fakes.entry import on
from tests.fakes.library import OCI_MANIFEST
from tests.fakes.registry import FakeRegistry
from tests.rig import PATIENT, Answer, Rig, rig

NAME = "library/app"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
SCHEMA1 = b'{"schemaVersion": 1, "name": "app", "tag": "odd", "fsLayers": [], "history": [], "signatures": []}'
IMAGE = b'{"schemaVersion": 2, "config": {}, "layers": []}'
POLICY = json.dumps({"errors": [{"code": "PROJECTPOLICYVIOLATION", "message": "the image is not signed"}]}).encode()


def _manifest(target: object, name: str = NAME) -> str:
    return f"/v2/{name}/manifests/{target}?ns=docker.io"


async def _is_well(proxy: Rig) -> bool:
    """Whether nothing was held against the only host."""
    (host,) = await proxy.hosts()
    return bool(host["backoff_seconds"] == 0 and host["corrupt_responses"] == 0)


async def _until(proxy: Rig, path: str, is_right: Callable[[int], bool]) -> Answer:
    """Ask until the answer is the right one."""
    async with asyncio.timeout(60):
        while True:
            answer = await proxy.ask(path)
            if is_right(answer.status):
                return answer
            await asyncio.sleep(0.02)


ODD = [
    pytest.param(SCHEMA1, "application/vnd.docker.distribution.manifest.v1+prettyjws", id="schema 1"),
    pytest.param(b'{"schemaVersion": 2, "manifests": [], "layers": []}', OCI_MANIFEST, id="an image and an index"),
    pytest.param(b'{"schemaVersion": 2, "mediaType": "a/b", "mediaType": "c/d"}', OCI_MANIFEST, id="a field twice"),
    pytest.param(b'{"schemaVersion": 2}', OCI_MANIFEST, id="nothing"),
    pytest.param(b'{"layers": [' + b"[" * 100_000 + b"]" * 100_000 + b"]}", OCI_MANIFEST, id="deep"),
    pytest.param(b'{"layers": "' + b"x" * (4 * 1024 * 1024) + b'"}', OCI_MANIFEST, id="over 4 MiB"),
]


@pytest.mark.parametrize(("body", "media_type"), ODD)
async def test_n12_10_an_odd_image_is_its_authors_fault(upstream: FakeRegistry, proxy: Rig, body: bytes, media_type: str) -> None:
    upstream.add_image(NAME, "good", [b"layer"])
    digest = upstream.add_manifest(NAME, body, media_type, tag="odd")
    for target in ("odd", digest):
        answer = await proxy.ask(_manifest(target))
        assert (answer.status, json.loads(answer.body)["errors"][0]["code"]) == (422, "MANIFEST_INVALID")
    assert await _is_well(proxy)
    good = await proxy.ask(_manifest("good"))
    assert (good.status, "Warning" in good.headers) == (200, False)


async def test_n12_10_a_host_that_sends_too_much_for_a_digest_is_not_the_last_one(upstream: FakeRegistry, tmp_path: Path) -> None:
    """Nobody can tell whether that is what its author made: what matches the digest counts, from whichever host."""
    image = upstream.add_image(NAME, "1", [b"layer"])
    async with FakeRegistry() as odd:
        odd.repositories = upstream.repositories
        odd.misbehave("/manifests/", Lie(b"{" + b" " * 5_000_000 + b"}"))
        async with rig(tmp_path, {"docker.io": {"hosts": [{"url": odd.url}, {"url": upstream.url}]}}) as proxy:
            answer = await proxy.ask(f"/v2/{NAME}/manifests/{image.digest}")
            assert (answer.status, answer.headers["Docker-Content-Digest"]) == (200, str(image.digest))
            assert odd.count("GET", "manifests") == 1
    async with FakeRegistry() as odd:
        odd.misbehave("/manifests/", Lie(b"{" + b" " * 5_000_000 + b"}"))
        odd.repositories = upstream.repositories
        async with rig(tmp_path / "alone", {"docker.io": odd.url}) as proxy:
            assert (await proxy.ask(f"/v2/{NAME}/manifests/{image.digest}")).status == 422


@pytest.mark.parametrize("sent", ["binary/octet-stream", "text/json", "application/json", DOCKER_MANIFEST])
async def test_n12_10_what_is_only_named_oddly_is_served(upstream: FakeRegistry, proxy: Rig, sent: str) -> None:
    body = json.dumps({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": {}, "layers": []}).encode()
    digest = upstream.add_manifest(NAME, body, sent, tag="1")
    for target in ("1", digest):
        answer = await proxy.ask(_manifest(target))
        assert (answer.status, answer.body, answer.headers["Content-Type"]) == (200, body, OCI_MANIFEST)
    assert await _is_well(proxy)


PAGE = [Lie(b"<html>maintenance</html>"), Headers({"Content-Type": "text/html", "Docker-Content-Digest": None})]
LISTINGS = [f"/v2/{NAME}/tags/list?ns=docker.io", f"/v2/{NAME}/referrers/sha256:{'a' * 64}?ns=docker.io"]


@pytest.mark.parametrize("path", [*LISTINGS, _manifest("1")])
async def test_n12_10_a_page_for_people_is_no_lie(upstream: FakeRegistry, proxy: Rig, path: str) -> None:
    upstream.add_image(NAME, "1", [b"layer"])
    upstream.misbehave(on("GET"), *PAGE)
    assert (await proxy.ask(path)).status == 502
    assert await _is_well(proxy)


async def test_n12_10_a_page_for_people_takes_no_tag_away(upstream: FakeRegistry, proxy: Rig) -> None:
    upstream.add_image(NAME, "1", [b"layer"])
    known = await proxy.ask(_manifest("1"))
    upstream.misbehave("/manifests/", *PAGE)
    stale = await proxy.ask(_manifest("1"))
    assert (stale.body, "Warning" in stale.headers) == (known.body, True)


async def test_n12_10_a_list_of_eight_megabytes_is_no_lie(upstream: FakeRegistry, proxy: Rig) -> None:
    upstream.add_image(NAME, "1", [b"layer"])
    upstream.misbehave("/tags/", Lie(b'{"tags": ["' + b"x" * (9 * 1024 * 1024) + b'"]}'))
    assert (await proxy.ask(LISTINGS[0])).status == 502
    assert await _is_well(proxy)


@pytest.mark.parametrize("status", [400, 402, 406, 409, 410, 412, 414, 422, 451])
async def test_n12_10_another_4xx_is_passed_on_with_its_reason(upstream: FakeRegistry, proxy: Rig, status: int) -> None:
    upstream.add_image(NAME, "1", [b"layer"])
    upstream.add_image(NAME, "2", [b"layer"])
    upstream.misbehave("/manifests/1", Status(status, body=POLICY))
    answer = await proxy.ask(_manifest("1"))
    (error,) = json.loads(answer.body)["errors"]
    assert (answer.status, error["code"]) == (status, "PROJECTPOLICYVIOLATION")
    assert "the image is not signed" in error["message"]
    assert await _is_well(proxy)
    assert (await proxy.ask(_manifest("2"))).status == 200


@pytest.mark.parametrize(("said", "told"), [(401, 403), (405, 400), (416, 400), (418, 400), (426, 400)])
async def test_n12_10_what_a_client_could_misread_is_translated(upstream: FakeRegistry, proxy: Rig, said: int, told: int) -> None:
    upstream.misbehave("/manifests/", Status(said, headers={"WWW-Authenticate": "Basic"}))
    answer = await proxy.ask(_manifest("1"))
    assert (answer.status, "WWW-Authenticate" in answer.headers) == (told, False)
    assert await _is_well(proxy)


@pytest.mark.parametrize("status", [204, 300, 302, 304])
async def test_n12_10_a_response_without_content_is_no_outage_and_no_lie(upstream: FakeRegistry, proxy: Rig, status: int) -> None:
    """A cache or firewall in front of the registry may answer so for one thing."""
    described = upstream.add_image(NAME, "1", [b"layer"])
    upstream.misbehave(on("GET"), Status(status))
    for path in (_manifest("1"), _manifest(described.digest), f"/v2/{NAME}/blobs/{Digest.of(b'layer')}?ns=docker.io", *LISTINGS):
        answer = await proxy.ask(path)
        assert (answer.status, f"answered {status}" in answer.body.decode()) == (502, True)
    assert await _is_well(proxy)


@pytest.mark.parametrize("status", [407, 408, 500, 502, 503])
async def test_n12_10_what_does_not_work_is_an_outage(upstream: FakeRegistry, proxy: Rig, status: int) -> None:
    upstream.misbehave("/manifests/", Status(status))
    assert (await proxy.ask(_manifest("1"))).status in {502, 504}
    assert not await _is_well(proxy)


@pytest.mark.parametrize("before", [0, 290], ids=["whole", "cut"])
async def test_n12_10_a_reason_that_shows_our_secrets_is_left_out(tmp_path: Path, before: int) -> None:
    async with FakeRegistry(auth="basic") as upstream:
        upstream.add_image(NAME, "1", [b"layer"])
        secret = upstream.password
        told = json.dumps({"errors": [{"code": "DENIED", "message": f"{'x' * before}{secret} may not"}]}).encode()
        upstream.misbehave("/manifests/", Status(403, body=told))
        host = {"url": upstream.url, "credentials": {"username": upstream.username, "password": secret}}
        async with rig(tmp_path / "store", {"docker.io": {"hosts": [host]}}) as proxy:
            answer = await proxy.ask(_manifest("1"))
            assert answer.status == 403
            assert secret[:8].encode() not in answer.body


class TestStale:
    """A tag that upstream takes back while the upstream rests."""

    @pytest.fixture
    async def resting(self, upstream: FakeRegistry, proxy: Rig) -> None:
        """Pull two tags, then let the upstream fail once, so that tags are revalidated behind the answer."""
        for tag in ("1", "2"):
            upstream.add_image(NAME, tag, [tag.encode()])
            await proxy.ask(_manifest(tag))
        upstream.misbehave("/manifests/2", Status(500))
        assert "Warning" in (await proxy.ask(_manifest("2"))).headers

    @pytest.mark.parametrize("status", [401, 403, 404, 410, 451])
    @pytest.mark.usefixtures("resting")
    async def test_n12_10_a_refusal_found_behind_an_answer_ends_staleness(self, upstream: FakeRegistry, proxy: Rig, status: int) -> None:
        upstream.misbehave("/manifests/1", Status(status))
        assert (await proxy.ask(_manifest("1"))).status == 200, "it is asked behind this answer"
        answer = await _until(proxy, _manifest("1"), lambda status: status != 200)
        assert answer.status == {401: 403}.get(status, status)
        upstream.misbehave("/manifests/1", Drop())
        again = await proxy.ask(_manifest("1"))
        assert again.status == answer.status, "what was taken back does not come back in an outage"
        upstream.behave()
        await _until(proxy, _manifest("1"), lambda status: status == 200)

    @pytest.mark.usefixtures("resting")
    async def test_n12_10_a_tag_that_moved_to_an_odd_image_is_not_served_old(self, upstream: FakeRegistry, proxy: Rig) -> None:
        upstream.add_manifest(NAME, SCHEMA1, "application/vnd.docker.distribution.manifest.v1+json", tag="1")
        answer = await _until(proxy, _manifest("1"), lambda status: status != 200)
        assert answer.status == 422


async def _refusal(worker: Serving, tag: str) -> int | None:
    """Pull from one worker; return the status of its refusal, or None where it serves something."""
    route = worker.routes.find(NAME, ["docker.io"])
    try:
        await worker.manifests.get(route, Tag(tag))
    except Rejected as error:
        return error.status
    except Refused:
        return 403
    except RegistryError as error:
        return error.status
    return None


async def test_n12_10_a_refusal_ends_staleness_for_all_workers(upstream: FakeRegistry, tmp_path: Path) -> None:
    """One that has only heard of it from another serves the tag no more, though upstream rests and is asked behind."""
    for tag in ("1", "2"):
        upstream.add_image(NAME, tag, [tag.encode()])
    document = {
        "store": {"root": str(tmp_path / "store"), "high_watermark": "100%"},
        "timeouts": PATIENT,
        "upstreams": {"docker.io": {"hosts": [{"url": upstream.url}], "tags": [{"fresh_for": "0s"}]}},
    }
    path = tmp_path / "regproxy.yaml"
    path.write_text(yaml.safe_dump(document))
    settings, fleet = load(path, {}), SharedFleet(NullFleet())
    async with (
        kept(settings) as (store, index),
        serving(settings, store, index, fleet) as one,
        serving(settings, store, index, fleet) as other,
    ):
        workers = one, other
        assert [await _refusal(worker, tag) for worker in workers for tag in ("1", "2")] == [None] * 4
        upstream.misbehave("/manifests/2", Status(500))
        assert [await _refusal(worker, "2") for worker in workers] == [None] * 2
        assert [worker.registries["docker.io"].is_backing_off for worker in workers] == [True] * 2
        upstream.misbehave("/manifests/1", Status(403))
        async with asyncio.timeout(60):
            while await _refusal(one, "1") is None:  # noqa: ASYNC110  it is asked behind the answer
                await asyncio.sleep(0.02)
        assert await _refusal(other, "1") == 403
    await fleet.close()
