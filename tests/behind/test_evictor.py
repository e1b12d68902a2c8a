"""What nobody used longest leaves an object store that is full, one member at a time, and nothing that is kept or used again."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from regproxy.behind import documents
from regproxy.behind.documents import TagDocument
from regproxy.behind.evictor import ObjectEvictor
from regproxy.behind.lease import Lease
from regproxy.behind.retention import Retention
from regproxy.objects.bucket import Bucket, opened
from regproxy.oci.descriptor import Descriptor
from regproxy.oci.digest import Digest
from regproxy.oci.reference import Repository
from regproxy.policy.freezing import Freeze
from regproxy.policy.freshness import TagRecord
from regproxy.policy.store import objects
from regproxy.ports import StoreError
from tests.behind_kit import OTHER_KEY, signer
from tests.fakes.bucket import FakeBucket
from tests.fakes.library import Library

NOW = 1_785_585_600.0
DAY = 86_400.0
APP = Repository("docker.io", "library/app")
PREFIX = "regproxy/"


@pytest.fixture
async def bucket() -> AsyncIterator[FakeBucket]:
    async with FakeBucket() as found:
        yield found


def keep(bucket: FakeBucket, name: str, days_ago: float, size: int = 1000) -> Digest:
    """Put a blob there that was written so many days ago."""
    body = name.encode().ljust(size)
    digest, at = Digest.of(body), NOW - days_ago * DAY
    bucket.write(PREFIX + objects.blob(digest), body, at)
    bucket.write(PREFIX + objects.sums(digest), b"x", at)
    bucket.write(PREFIX + objects.link("blob", APP, digest), b"x", at)
    return digest


def use(bucket: FakeBucket, digest: Digest, days_ago: float) -> None:
    bucket.write(PREFIX + objects.use(digest), b"", NOW - days_ago * DAY)


def evictor(bucket: FakeBucket, max_size: int, *freezes: Freeze, grace: float = 0.0) -> ObjectEvictor:
    store: Bucket = opened("s3://bucket/regproxy", bucket.url)
    return ObjectEvictor(store, max_size, Lease(store, lambda: NOW), Retention(store, signer(), freezes), lambda: NOW, grace)


def left(bucket: FakeBucket) -> set[str]:
    return {key.rpartition("/")[2] for key in bucket.keys("/blobs/")}


async def test_n17_04_the_longest_unused_goes_with_all_that_names_it(bucket: FakeBucket) -> None:
    old, used, new = keep(bucket, "old", 9), keep(bucket, "used", 20), keep(bucket, "new", 1)
    use(bucket, used, 2)
    assert await evictor(bucket, 3000).sweep() == 0
    assert await evictor(bucket, 2500).sweep() == 1000
    assert left(bucket) == {used.hex, new.hex}
    assert bucket.keys(old.hex) == []
    assert bucket.keys("tombstones") == []


async def test_n17_04_what_is_used_or_written_again_before_it_goes_stays(bucket: FakeBucket) -> None:
    old, older = keep(bucket, "old", 9), keep(bucket, "older", 10)
    sweeping = asyncio.create_task(evictor(bucket, 1000, grace=1.0).sweep())
    await bucket.until("/tombstones/", 2)
    use(bucket, older, -1)
    assert await sweeping == 1000
    assert left(bucket) == {older.hex}
    assert bucket.keys(old.hex) == []
    assert bucket.keys("tombstones") == []


async def test_n17_04_pins_and_freezes_of_any_member_stay_with_what_they_need(bucket: FakeBucket) -> None:
    library = Library()
    kept: set[str] = set()
    images: list[Descriptor] = []
    for name in ("pinned", "frozen", "frozen tag", "frozen here"):
        image = library.add_image("app", None, [name.encode()])
        images.append(image)
        body = library.repositories["app"].manifests[image.digest].body
        bucket.write(PREFIX + objects.blob(image.digest), body, NOW - 30 * DAY)
        kept.add(image.digest.hex)
    for digest, body in library.repositories["app"].blobs.items():
        bucket.write(PREFIX + objects.blob(digest), body, NOW - 30 * DAY)
        bucket.write(PREFIX + objects.sums(digest), b"x", NOW - 30 * DAY)
        kept.add(digest.hex)
    unsigned = keep(bucket, "pinned by somebody else", 30)
    pinned, frozen, tagged, here = images
    documents_there = {
        objects.pin(pinned.digest): {"digest": str(pinned.digest)},
        objects.freeze("docker.io/a:1"): {"pattern": "docker.io/a:1", "digest": str(frozen.digest)},
        objects.freeze("docker.io/library/*"): {"pattern": "docker.io/library/*", "digest": ""},
        objects.tag(APP, "1"): documents.tag_with_history(TagDocument(TagRecord(tagged, NOW), ())),
    }
    for path, document in documents_there.items():
        bucket.write(PREFIX + path, signer().signed(path, document))
    forged = objects.pin(unsigned)
    bucket.write(PREFIX + forged, signer(OTHER_KEY).signed(forged, {"digest": str(unsigned)}))
    await evictor(bucket, 1, Freeze("docker.io/b:1", here.digest)).sweep()
    assert left(bucket) == kept


async def test_n17_04_nothing_goes_where_pins_cannot_be_read(bucket: FakeBucket) -> None:
    keep(bucket, "old", 9)
    bucket.write(PREFIX + objects.pin(Digest.of(b"x")), b"x" * (documents.MAX_SIZE + 1))
    with pytest.raises(StoreError):
        await evictor(bucket, 1).sweep()
    assert len(left(bucket)) == 1


async def test_n17_04_one_member_evicts_at_a_time(bucket: FakeBucket) -> None:
    for number in range(10):
        keep(bucket, str(number), number)
    freed = await asyncio.gather(*(evictor(bucket, 5000, grace=0.2).sweep() for _ in range(8)))
    assert sorted(freed)[:-1] == [0] * 7
    assert len(left(bucket)) == 4  # and no more than one of them would have


async def test_n17_04_a_lease_of_a_member_that_died_ends(bucket: FakeBucket) -> None:
    store = opened("s3://bucket/regproxy", bucket.url)
    now = [NOW]
    lease = Lease(store, lambda: now[0])
    async with lease.held() as until:
        assert until == NOW + 3600
        written = dict(bucket.objects)
        async with lease.held() as other:
            assert other is None
    bucket.objects.clear()
    bucket.objects.update(written)  # as one leaves it that dies
    now[0] += 3601
    async with lease.held() as again:
        assert again == now[0] + 3600


async def test_n17_04_a_store_without_conditional_writes_is_not_evicted_from(bucket: FakeBucket) -> None:
    keep(bucket, "old", 9)
    bucket.has_conditions = False
    sweeping = evictor(bucket, 1)
    await sweeping.attempt()
    assert "two may create the same object" in (sweeping.trouble or "")
    assert len(left(bucket)) == 1
    bucket.has_conditions = True
    await sweeping.attempt()
    assert sweeping.trouble is None
    assert left(bucket) == set()
