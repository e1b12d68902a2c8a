"""What an object store is asked while a client waits."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from regproxy.behind import documents
from regproxy.behind.health import Health
from regproxy.behind.tier import NoAnswer, ObjectTier
from regproxy.objects.bucket import Bucket, opened
from regproxy.oci.descriptor import Descriptor
from regproxy.oci.digest import Digest
from regproxy.policy.store import objects
from regproxy.ports import Kind
from tests.behind.replicas import APP
from tests.behind_kit import signer
from tests.fakes.bucket import FakeBucket

BODY = b"a manifest"
DIGEST = Digest.of(BODY)
LINK = objects.link("manifest", APP, DIGEST)
SLOW = 1.5  # seconds


@pytest.fixture
async def bucket() -> AsyncIterator[FakeBucket]:
    async with FakeBucket() as found:
        found.write(f"regproxy/{LINK}", signer().signed(LINK, documents.link_document(Descriptor("a/b", DIGEST, len(BODY)))))
        found.write(f"regproxy/{objects.blob(DIGEST)}", BODY)
        yield found


class Subject(ObjectTier):
    """Remembers what it has had written again."""

    def __init__(self, store: Bucket) -> None:
        self.repaired: list[Digest] = []
        super().__init__(store, signer(), Health(lambda: 0.0), self._remember)

    async def _remember(self, digest: Digest) -> None:
        self.repaired.append(digest)


@pytest.fixture
async def subject(bucket: FakeBucket) -> AsyncIterator[Subject]:
    found = Subject(opened("s3://bucket/regproxy", bucket.url))
    yield found
    await found.close()


async def test_n17_04_who_asks_again_waits_for_the_same_request(subject: Subject, bucket: FakeBucket) -> None:
    bucket.latency = SLOW
    assert await subject.link(Kind.MANIFEST, APP, DIGEST) is None
    found = await asyncio.gather(*(subject.link(Kind.MANIFEST, APP, DIGEST, is_patient=True) for _ in range(20)))
    assert all(each is not None for each in found)
    assert bucket.counts.total() == 1


async def test_n17_04_one_request_that_is_late_is_one_failure(subject: Subject, bucket: FakeBucket) -> None:
    bucket.latency = SLOW
    await asyncio.gather(*(subject.link(Kind.MANIFEST, APP, DIGEST) for _ in range(20)))
    assert subject.health.may_ask()
    assert subject.health.trouble is not None


async def test_n17_04_nobody_but_the_patient_waits_for_a_store_that_fails(subject: Subject, bucket: FakeBucket) -> None:
    bucket.refuse = True
    for _ in range(5):
        assert await subject.link(Kind.MANIFEST, APP, DIGEST) is None
    assert bucket.counts.total() == 3
    with pytest.raises(NoAnswer):
        await subject.closure(APP)
    assert bucket.counts.total() == 3
    bucket.refuse = False
    assert await subject.closure(APP, is_patient=True) is None
    assert await subject.link(Kind.MANIFEST, APP, DIGEST, is_patient=True) is not None


async def test_n17_04_what_is_not_there_is_remembered_for_a_moment(subject: Subject, bucket: FakeBucket) -> None:
    other = Digest.of(b"other")
    for is_patient in (False, True):
        assert await subject.link(Kind.MANIFEST, APP, other, is_patient=is_patient) is None
    assert bucket.counts.total() == 1


@pytest.mark.parametrize("body", [b"another ..", b"short", b"", BODY * 1000])
async def test_n17_04_a_manifest_that_is_wrong_is_written_again_and_asked_for_no_more(
    subject: Subject, bucket: FakeBucket, body: bytes
) -> None:
    bucket.write(f"regproxy/{objects.blob(DIGEST)}", body)
    for _ in range(3):
        assert await subject.manifest(DIGEST, len(BODY)) is None
    await subject.close()
    assert subject.repaired == [DIGEST]
    assert bucket.counts.total() == 1


async def test_n17_04_what_is_too_long_is_no_trouble_of_the_store(subject: Subject, bucket: FakeBucket) -> None:
    for _ in range(3):
        bucket.write(f"regproxy/{LINK}", bytes(documents.MAX_SIZE + 1))
        assert await subject.link(Kind.MANIFEST, APP, DIGEST) is None
        bucket.write(f"regproxy/{objects.access(APP)}", bytes(documents.MAX_SIZE + 1))
        with pytest.raises(NoAnswer):
            await subject.closure(APP)
    assert subject.health.may_ask()
    assert subject.health.trouble is None
