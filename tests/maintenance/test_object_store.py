"""What an operator asks of the object store behind the disk."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from obstore.store import MemoryStore

from regproxy.behind.uploader import Uploader
from regproxy.behind.writer import Writer
from regproxy.maintenance.object_store import ObjectStoreJobs
from regproxy.maintenance.progress import JobProgress
from regproxy.objects.bucket import Bucket
from regproxy.oci.descriptor import Descriptor
from regproxy.oci.digest import Digest
from regproxy.oci.reference import Repository
from regproxy.policy.store import objects
from regproxy.ports import Kind
from tests.behind_kit import signer
from tests.maintenance.kept import LAYER, Kept

APP = Repository("docker.io", "library/app")
NOW = 1_785_585_600.0


@pytest.fixture
async def remote() -> Bucket:
    memory = MemoryStore()
    return Bucket(memory, memory, "memory")


@pytest.fixture
async def jobs(kept: Kept, remote: Bucket) -> AsyncIterator[ObjectStoreJobs]:
    queue = kept.index.uploads()
    uploader = Uploader(queue, Writer(queue, kept.store, remote, signer(), lambda: NOW), lambda: NOW, pause=0.01)
    work = asyncio.create_task(uploader.run())
    yield ObjectStoreJobs(remote, queue, uploader)
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)


async def test_n17_04_a_push_writes_everything_with_progress(kept: Kept, remote: Bucket, jobs: ObjectStoreJobs) -> None:
    digest = await kept.put(LAYER)
    told: list[tuple[int, int]] = []
    result = await jobs.push(JobProgress(lambda progress: told.append((progress.done, progress.total))))
    assert result == {"bytes": len(LAYER), "place": "memory"}
    assert told[-1] == (len(LAYER), len(LAYER))
    assert await remote.get(objects.blob(digest), 1_000_000) == LAYER
    assert await jobs.status() == {"place": "memory", "pending": 0, "pending_bytes": 0, "trouble": None}


async def test_n17_04_a_check_has_written_again_what_is_missing(kept: Kept, remote: Bucket, jobs: ObjectStoreJobs) -> None:
    digest = await kept.put(LAYER)
    await jobs.push(JobProgress())
    await remote.delete(objects.blob(digest))
    assert await jobs.check(JobProgress()) == {"blobs": 0, "bytes": 0, "missing": 1, "going": 0}
    await jobs.push(JobProgress())  # that comes after it in the queue
    assert await remote.get(objects.blob(digest), 1_000_000) == LAYER
    assert await jobs.check(JobProgress()) == {"blobs": 1, "bytes": len(LAYER), "missing": 0, "going": 0}


async def test_n17_04_a_manifest_that_is_missing_is_written_again_too(kept: Kept, remote: Bucket, jobs: ObjectStoreJobs) -> None:
    body = b"a manifest"
    digest = Digest.of(body)
    await kept.store.write(digest, body)
    await kept.index.put(Kind.MANIFEST, APP, Descriptor("a/b", digest, len(body)))
    await jobs.push(JobProgress())
    await remote.delete(objects.blob(digest))
    assert (await jobs.check(JobProgress()))["missing"] == 1
    await jobs.push(JobProgress())
    assert await remote.get(objects.blob(digest), 100) == body
    assert (await jobs.check(JobProgress()))["missing"] == 0


async def test_n17_04_content_that_is_damaged_on_the_disk_does_not_spread(kept: Kept, remote: Bucket, jobs: ObjectStoreJobs) -> None:
    digest = await kept.put(LAYER)
    kept.damage(digest)
    await jobs.push(JobProgress())
    assert await remote.get(objects.blob(digest), 1_000_000) is None
    assert await remote.get(objects.sums(digest), 1_000_000) is None
    assert await remote.get(objects.link("blob", APP, digest), 1_000_000) is None
