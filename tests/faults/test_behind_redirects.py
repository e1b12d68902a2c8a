"""Clients sent to an object store for large blobs: only where that is asked for, and nobody for what is not theirs."""

import io
import json
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from regproxy.oci.digest import Digest
from tests.behind_kit import behind, pull
from tests.canary import found_below
from tests.fakes.bucket import FakeBucket
from tests.fakes.deeds import Status
from tests.fakes.registry import FakeRegistry
from tests.faults.test_proven import ANN, ANNS, BOB, PUBLIC, Tenants
from tests.rig import rig

NAME = "library/app"
LAYER, SMALL = random.Random(18).randbytes(300_000), b"a small layer"
PATH = f"/v2/{NAME}/blobs/{Digest.of(LAYER)}"
DEAD = "http://127.0.0.1:9"
REDIRECT = {"redirect": "always", "redirect_from": "100KiB"}


@pytest.fixture
async def bucket() -> AsyncIterator[FakeBucket]:
    async with FakeBucket() as found:
        yield found


async def filled(root: Path, entry: object, bucket: FakeBucket) -> None:
    """Have a cache pull an image and write it behind, which redirects nobody."""
    async with rig(root, {"docker.io": entry}, store=behind(bucket.url)) as proxy:
        statuses, _ = await pull(proxy, NAME, "1")
        assert statuses == [200] * 4
        await bucket.until("/_/blob/", 3)
        await bucket.until("tags/", 1)
        assert (await proxy.ask(PATH)).body == LAYER


async def test_n17_04_a_large_blob_is_redirected_where_that_is_asked_for(
    upstream: FakeRegistry, bucket: FakeBucket, tmp_path: Path, lines: io.StringIO
) -> None:
    upstream.add_image(NAME, "1", [LAYER, SMALL])
    await filled(tmp_path / "one", upstream.url, bucket)
    async with rig(tmp_path / "one", {"docker.io": upstream.url}, store=behind(bucket.url, **REDIRECT)) as proxy:
        answer = await proxy.ask(PATH)
        assert (answer.status, answer.body) == (307, b"")
        assert answer.headers["Cache-Control"] == "no-store"
        async with proxy.session.get(answer.headers["Location"]) as response:
            assert await response.read() == LAYER
        assert "X-Amz-Expires=60" in answer.headers["Location"]
        assert (await proxy.ask(PATH, Range="bytes=0-9")).body == LAYER[:10]
        head = await proxy.ask(PATH, "HEAD")
        assert (head.status, head.headers["Content-Length"]) == (200, str(len(LAYER)))
        assert (await proxy.ask(f"/v2/{NAME}/blobs/{Digest.of(SMALL)}")).body == SMALL
        assert (await proxy.ask(f"/v2/library/other/blobs/{Digest.of(LAYER)}")).status == 404
        bucket.refuse = True
        assert (await proxy.ask(PATH)).status in {200, 307}  # what is known of it counts for a while
    async with rig(tmp_path / "one", {"docker.io": upstream.url}, store=behind(bucket.url, **REDIRECT)) as proxy:
        assert (await proxy.ask(PATH)).body == LAYER  # not where it does not answer
    bucket.refuse = False
    async with rig(tmp_path / "new", {"docker.io": DEAD}, store=behind(bucket.url, **REDIRECT)) as proxy:
        assert (await proxy.ask(PATH)).status == 307
    told = [json.loads(line) for line in lines.getvalue().splitlines()]
    assert [each for each in told if "X-Amz" in str(each) and each["logger"].startswith("regproxy")] == []
    assert found_below(tmp_path) == []


@pytest.mark.parametrize("is_allowed", [False, True])
async def test_n17_04_what_upstream_gives_for_our_credential_is_redirected_only_where_that_is_allowed(
    bucket: FakeBucket, tmp_path: Path, is_allowed: bool
) -> None:
    async with FakeRegistry(auth="basic") as upstream:
        upstream.add_image(NAME, "1", [LAYER, SMALL])
        entry = {"hosts": [{"url": upstream.url}], "credentials": {"username": "user", "password": "canary-password"}}
        settings = behind(bucket.url, **REDIRECT, redirect_private=is_allowed)
        await filled(tmp_path / "one", entry, bucket)
        async with rig(tmp_path / "one", {"docker.io": entry}, store=settings) as proxy:
            assert (await proxy.ask(PATH)).status == (307 if is_allowed else 200)


async def test_n17_04_a_closed_repository_is_redirected_nowhere(upstream: FakeRegistry, bucket: FakeBucket, tmp_path: Path) -> None:
    upstream.add_image(NAME, "1", [LAYER, SMALL])
    entry = {"hosts": [{"url": upstream.url}], "tags": [{"fresh_for": "0s"}]}
    await filled(tmp_path / "one", entry, bucket)
    async with rig(tmp_path / "one", {"docker.io": entry}, store=behind(bucket.url, **REDIRECT)) as proxy:
        assert (await proxy.ask(PATH)).status == 307
        upstream.misbehave(f"/{NAME}/", Status(403))
        assert (await proxy.ask(f"/v2/{NAME}/manifests/1")).status == 403
        answer = await proxy.ask(PATH)
        assert answer.status == 403
        assert "Location" not in answer.headers


@pytest.mark.parametrize("is_allowed", [False, True])
async def test_n17_04_nothing_of_a_proven_upstream_is_redirected_without_a_proof(
    bucket: FakeBucket, tmp_path: Path, is_allowed: bool
) -> None:
    async with Tenants() as tenants:
        for name in (ANNS, PUBLIC):
            tenants.add_image(name, "1", [LAYER])
        entry = {"hosts": [{"url": tenants.url}], "access": "proven"}
        settings = behind(bucket.url, **REDIRECT, redirect_private=is_allowed)
        private, public = (f"/v2/{name}/blobs/{Digest.of(LAYER)}" for name in (ANNS, PUBLIC))
        async with rig(tmp_path / "one", {"docker.io": entry}, store=settings) as proxy:
            for path in (private, public):
                assert (await proxy.ask(path, Authorization=ANN)).body == LAYER
            await bucket.until("/_/blob/", 2)
        async with rig(tmp_path / "two", {"docker.io": entry}, store=settings) as proxy:
            assert (await proxy.ask(public)).status == 307
            for stranger in ({}, {"Authorization": BOB}):
                answer = await proxy.ask(private, **stranger)
                assert answer.status in {401, 403, 404}
                assert "Location" not in answer.headers
            assert (await proxy.ask(private, Authorization=ANN)).status == (307 if is_allowed else 200)


@pytest.mark.parametrize("damage", ["lost", "short"])
async def test_n17_04_nobody_is_sent_to_a_blob_that_is_not_there(
    upstream: FakeRegistry, bucket: FakeBucket, tmp_path: Path, damage: str
) -> None:
    upstream.add_image(NAME, "1", [LAYER, SMALL])
    await filled(tmp_path / "one", upstream.url, bucket)
    key = f"regproxy/blobs/sha256/{Digest.of(LAYER).hex}"
    bucket.objects[key] = LAYER[:-1]
    if damage == "lost":
        del bucket.objects[key]
    async with rig(tmp_path / "one", {"docker.io": upstream.url}, store=behind(bucket.url, **REDIRECT)) as proxy:
        answer = await proxy.ask(PATH)
        assert (answer.status, answer.body) == (200, LAYER)
        await bucket.until_equal(key, LAYER)
    async with rig(tmp_path / "one", {"docker.io": upstream.url}, store=behind(bucket.url, **REDIRECT)) as proxy:
        assert (await proxy.ask(PATH)).status == 307
