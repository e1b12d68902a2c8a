"""An object store behind the disk where nobody else is left to ask, and a closure that it does not tell of."""

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from regproxy.oci.descriptor import Descriptor
from regproxy.oci.digest import Digest
from tests.behind_kit import behind, pull, replica
from tests.fakes.bucket import FakeBucket
from tests.fakes.deeds import Status
from tests.fakes.registry import FakeRegistry
from tests.rig import Rig, rig

NAME = "library/app"
LAYER = random.Random(19).randbytes(1_500_000)
BLOB = f"/v2/{NAME}/blobs/{Digest.of(LAYER)}"
DEAD = "http://127.0.0.1:9"
SLOW = 1.5  # seconds for each answer: more than a client waits that may ask upstream


@pytest.fixture
async def bucket() -> AsyncIterator[FakeBucket]:
    async with FakeBucket() as found:
        yield found


@pytest.fixture
async def image(upstream: FakeRegistry, bucket: FakeBucket, tmp_path: Path) -> Descriptor:
    """Have a cache pull an image and write it behind, whose disk is lost then."""
    found = upstream.add_image(NAME, "1", [LAYER])
    async with replica(tmp_path / "lost", upstream.url, bucket) as proxy:
        assert (await pull(proxy, NAME, "1"))[0] == [200] * 3
        await bucket.until("/_/manifest/", 1)
        await bucket.until("/_/blob/", 2)
        await bucket.until("tags/", 1)
    return found


@pytest.mark.usefixtures("image")
async def test_n17_04_a_tag_is_waited_for_where_upstream_is_dead(bucket: FakeBucket, tmp_path: Path) -> None:
    bucket.latency = SLOW
    async with replica(tmp_path / "new", DEAD, bucket) as proxy:
        answer = await proxy.ask(f"/v2/{NAME}/manifests/1")
        assert answer.status == 200
        assert "stale" in answer.headers["Warning"], "upstream has not said that it still means this"


async def test_n17_04_a_manifest_is_waited_for_where_upstream_is_dead(bucket: FakeBucket, tmp_path: Path, image: Descriptor) -> None:
    bucket.latency = SLOW
    async with replica(tmp_path / "new", DEAD, bucket) as proxy:
        assert (await proxy.ask(f"/v2/{NAME}/manifests/{image.digest}")).status == 200
        bucket.refuse = True  # it is kept
        assert (await proxy.ask(f"/v2/{NAME}/manifests/{image.digest}")).status == 200


@pytest.mark.usefixtures("image")
async def test_n17_04_the_size_of_a_blob_is_waited_for_where_upstream_is_dead(bucket: FakeBucket, tmp_path: Path) -> None:
    bucket.latency = SLOW
    async with replica(tmp_path / "new", DEAD, bucket) as proxy:
        answer = await proxy.ask(BLOB, "HEAD")
        assert (answer.status, answer.headers["Content-Length"]) == (200, str(len(LAYER)))


@pytest.mark.usefixtures("image")
async def test_n17_04_a_whole_pull_is_waited_for_where_upstream_is_dead(bucket: FakeBucket, tmp_path: Path) -> None:
    bucket.latency = SLOW
    async with replica(tmp_path / "new", DEAD, bucket) as proxy:
        assert (await pull(proxy, NAME, "1"))[0] == [200] * 3


async def closed(root: Path, upstream: FakeRegistry, bucket: FakeBucket) -> None:
    """Have another cache be refused the repository, and say so there."""
    entry = {"hosts": [{"url": upstream.url}], "tags": [{"fresh_for": "0s"}]}
    async with rig(root, {"docker.io": entry}, store=behind(bucket.url), reconfirm_after="0s") as proxy:
        assert (await proxy.ask(f"/v2/{NAME}/manifests/1")).status == 200
        upstream.misbehave(f"/{NAME}/", Status(403))
        assert (await proxy.ask(f"/v2/{NAME}/manifests/1")).status == 403
        await bucket.until(f"closed/docker.io/{NAME}/_", 1)


async def _asked_for_all(proxy: Rig, image: Descriptor) -> list[int]:
    paths = (f"/v2/{NAME}/manifests/1", f"/v2/{NAME}/manifests/{image.digest}", BLOB)
    answers = [await proxy.ask(path, method) for path in paths for method in ("GET", "HEAD")]
    assert all("Location" not in answer.headers for answer in answers)
    return [answer.status for answer in answers]


@pytest.mark.parametrize("redirect", ["never", "always"])
@pytest.mark.parametrize("latency", [0.0, SLOW], ids=["soon", "late"])
async def test_n17_04_a_closed_repository_stays_closed_where_the_object_store_does_not_tell(
    upstream: FakeRegistry, bucket: FakeBucket, tmp_path: Path, image: Descriptor, redirect: str, latency: float
) -> None:
    """Neither where it is not answered whether it is closed, nor later by what was remembered of that."""
    await closed(tmp_path / "other", upstream, bucket)
    bucket.refuse_part, bucket.latency = "closed/", latency
    async with replica(tmp_path / "new", DEAD, bucket, redirect=redirect, redirect_from="1MiB") as proxy:
        assert all(status >= 400 for status in await _asked_for_all(proxy, image))
        bucket.refuse_part = None
        assert all(status >= 400 for status in await _asked_for_all(proxy, image))


@pytest.mark.parametrize("damage", [b"{}", b"x" * 20_000], ids=["not signed", "too long"])
async def test_n17_04_a_closure_that_cannot_be_read_closes(bucket: FakeBucket, tmp_path: Path, image: Descriptor, damage: bytes) -> None:
    bucket.write(f"regproxy/closed/docker.io/{NAME}/_", damage)
    async with replica(tmp_path / "new", DEAD, bucket) as proxy:
        assert all(status >= 400 for status in await _asked_for_all(proxy, image))


@pytest.mark.usefixtures("image")
async def test_n17_04_no_answer_about_a_closure_is_not_remembered(bucket: FakeBucket, tmp_path: Path) -> None:
    bucket.refuse_part = "closed/"
    async with replica(tmp_path / "new", DEAD, bucket) as proxy:
        assert (await proxy.ask(f"/v2/{NAME}/manifests/1")).status >= 500
        bucket.refuse_part = None
        assert (await pull(proxy, NAME, "1"))[0] == [200] * 3


@pytest.mark.usefixtures("image")
async def test_n17_04_a_blob_that_comes_slowly_is_waited_for(bucket: FakeBucket, tmp_path: Path) -> None:
    """Its first piece takes longer than a silence may."""
    bucket.pace = 0.8  # for 150 KB
    async with replica(tmp_path / "new", DEAD, bucket) as proxy:
        answer = await proxy.ask(BLOB)
        assert (answer.status, answer.body) == (200, LAYER)


async def test_n17_04_what_was_frozen_stays_so_at_a_new_replica(
    upstream: FakeRegistry, bucket: FakeBucket, tmp_path: Path, image: Descriptor
) -> None:
    async with replica(tmp_path / "other", upstream.url, bucket) as proxy:
        assert (await pull(proxy, NAME, "1"))[0] == [200] * 3
        assert (await proxy.admin("freezes", "POST", {"pattern": f"docker.io/{NAME}:1"}))[0] == 201
        await bucket.until("freezes/", 1)
    upstream.add_image(NAME, "1", [b"moved"])
    entry = {"hosts": [{"url": upstream.url}], "tags": [{"fresh_for": "0s"}]}
    async with replica(tmp_path / "new", entry, bucket) as proxy:
        async with asyncio.timeout(300):
            while not (await proxy.admin("freezes"))[1]["freezes"]:  # noqa: ASYNC110 -- a database tells nobody
                await asyncio.sleep(0.02)
        answer = await proxy.ask(f"/v2/{NAME}/manifests/1")
        assert answer.headers["Docker-Content-Digest"] == str(image.digest)
