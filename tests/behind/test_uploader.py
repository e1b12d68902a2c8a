"""The queue to an object store is worked off, whatever one of its entries does."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from obstore.store import MemoryStore

from regproxy.behind.uploader import Uploader
from regproxy.objects.bucket import Bucket
from regproxy.oci.descriptor import Descriptor
from regproxy.oci.digest import Digest
from regproxy.oci.reference import Reference, Repository, Tag
from regproxy.policy.freshness import TagRecord
from regproxy.policy.store import objects
from regproxy.ports import Kind, StoreError
from tests.behind.replicas import APP, NOW, Replica, replica_at

BODIES = [f"blob {number}".encode() for number in range(20)]


class Picky(Bucket):
    """Refuses one path, with an error of its own or one that nobody expects."""

    refused = ""
    error: Exception = StoreError("refused")

    async def put(self, path: str, body: bytes) -> None:
        if self.refused and self.refused in path:
            raise self.error
        await super().put(path, body)


@pytest.fixture
async def remote() -> Picky:
    memory = MemoryStore()
    return Picky(memory, memory, "memory")


@pytest.fixture
async def replica(tmp_path: Path, remote: Picky) -> AsyncIterator[Replica]:
    async with replica_at(tmp_path, remote) as found:
        uploader = Uploader(found.queue, found.writer, lambda: NOW, pause=0.01)
        work = asyncio.create_task(uploader.run())
        yield found
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)


async def _left(replica: Replica, count: int) -> None:
    """Wait until so many entries are left."""
    async with asyncio.timeout(300):
        while (await replica.queue.pending()).count > count:  # noqa: ASYNC110 -- a database tells nobody
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("error", [StoreError("refused"), RuntimeError("unexpected")], ids=["ours", "nobody's"])
async def test_n17_04_one_entry_that_fails_keeps_no_other_back(replica: Replica, remote: Picky, error: Exception) -> None:
    remote.error, remote.refused = error, objects.blob(Digest.of(BODIES[0]))
    for body in BODIES:
        await replica.put(body)
    await _left(replica, 1)
    for body in BODIES[1:]:
        assert await remote.get(objects.blob(Digest.of(body)), 100) == body
        assert await remote.head(objects.link("blob", APP, Digest.of(body))) is not None
    assert await remote.head(objects.link("blob", APP, Digest.of(BODIES[0]))) is None


async def test_n17_04_content_that_was_evicted_before_it_was_written_is_given_up(replica: Replica, remote: Picky) -> None:
    digest = Digest.of(b"gone")
    await replica.index.put(Kind.BLOB, APP, Descriptor("application/octet-stream", digest, 4))
    await _left(replica, 0)
    assert await remote.head(objects.link("blob", APP, digest)) is None


async def test_n17_04_what_lies_there_is_not_written_again(replica: Replica, remote: Picky) -> None:
    digest = await replica.put(BODIES[0])
    await _left(replica, 0)
    remote.refused = "blobs/"
    await replica.index.put(Kind.BLOB, Repository("docker.io", "library/b"), Descriptor("application/octet-stream", digest, len(BODIES[0])))
    await _left(replica, 0)
    assert await remote.head(objects.link("blob", Repository("docker.io", "library/b"), digest)) is not None


async def test_n17_04_what_is_about_to_be_evicted_there_is_told_to_be_in_use(replica: Replica, remote: Picky) -> None:
    digest = await replica.put(BODIES[0])
    await _left(replica, 0)
    await remote.put(objects.tombstone(digest), objects.MARK)
    await replica.index.put(Kind.BLOB, Repository("docker.io", "library/b"), Descriptor("application/octet-stream", digest, len(BODIES[0])))
    await _left(replica, 0)
    assert await remote.head(objects.use(digest)) is not None


async def test_n17_04_an_older_meaning_of_a_tag_replaces_none_that_is_newer(replica: Replica, remote: Picky) -> None:
    newer = Descriptor("application/json", Digest.of(b"newer"), 1)
    tag = Reference(APP, Tag("1"))
    await replica.index.put_tag(tag, TagRecord(newer, NOW + 10))
    await _left(replica, 0)
    before = await remote.get(objects.tag(APP, "1"), 10_000)
    assert before is not None
    assert str(newer.digest).encode() in before
    await replica.index.drop_tag(tag)
    await replica.index.put_tag(tag, TagRecord(newer, NOW + 5))
    await _left(replica, 0)
    assert await remote.get(objects.tag(APP, "1"), 10_000) == before
