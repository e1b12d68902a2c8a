"""What replicas write to one object store agrees, whatever their clocks and their order."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from obstore.store import MemoryStore

from regproxy.behind import documents
from regproxy.behind.documents import Closure, TagDocument
from regproxy.objects.bucket import Bucket
from regproxy.oci.descriptor import Descriptor
from regproxy.oci.digest import Digest
from regproxy.oci.reference import Reference, Tag
from regproxy.policy.freshness import TagRecord
from regproxy.policy.store import objects
from regproxy.ports import Kind
from tests.behind.replicas import APP, NOW, Replica, replica_at
from tests.behind_kit import KEY, OTHER_KEY, signer

TAG = Reference(APP, Tag("1"))
OLD, NEW = (Descriptor("application/json", Digest.of(body), 3) for body in (b"old", b"new"))
CLOSED, THE_TAG = objects.access(APP), objects.tag(APP, "1")


@pytest.fixture
def remote() -> Bucket:
    memory = MemoryStore()
    return Bucket(memory, memory, "memory")


@pytest.fixture
async def replicas(tmp_path: Path, remote: Bucket) -> AsyncIterator[list[Replica]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(replica_at(tmp_path / name, remote)) for name in ("one", "two")]


async def closure(remote: Bucket) -> Closure | None:
    return documents.closure_of(signer().verified(CLOSED, await remote.get(CLOSED, 10_000)))


async def tag(remote: Bucket) -> TagDocument:
    found = documents.tag_with_history_of(signer().verified(THE_TAG, await remote.get(THE_TAG, 10_000)))
    assert found is not None
    return found


async def test_n17_04_a_replica_to_which_a_repository_is_open_takes_no_later_refusal_away(replicas: list[Replica], remote: Bucket) -> None:
    one, two = replicas
    await two.index.put_confirmed(APP, NOW)
    one.now = NOW + 60
    await one.index.put_refused(APP, "no")
    await one.write()
    two.now = NOW + 120
    await two.queue.put_all()
    await two.write()
    assert await closure(remote) == Closure(NOW + 60, "no")
    await two.index.put_refused(APP, "no, as another was told")  # as it learns it there
    assert await two.write() == ["there"]
    assert await closure(remote) == Closure(NOW + 60, "no"), "a refusal is no later than upstream's word"
    await two.index.put_confirmed(APP, NOW + 120)
    two.now = NOW + 180
    await two.index.put_confirmed(APP, NOW + 180)
    await two.write()
    assert await remote.get(CLOSED, 10_000) is None


async def test_n17_04_a_refusal_by_a_clock_that_is_ahead_is_taken_away_once_upstream_opens(replicas: list[Replica], remote: Bucket) -> None:
    one, two = replicas
    one.now = NOW + 86_400
    await one.index.put_refused(APP, "no")
    await one.write()
    await two.index.put_refused(APP, "as another was told")
    two.now = NOW + 1
    await two.index.put_confirmed(APP, NOW + 1)
    await two.write()
    assert await remote.get(CLOSED, 10_000) is None


@pytest.mark.parametrize("is_later", [False, True])
async def test_n17_04_what_cannot_be_read_closes_until_upstream_opens(replicas: list[Replica], remote: Bucket, is_later: bool) -> None:
    one, _ = replicas
    await remote.put(CLOSED, b"of a key that is no more")
    written = await remote.head(CLOSED)
    assert written is not None
    one.now = written.modified_at + (1 if is_later else -1)
    await one.index.put_confirmed(APP, one.now)
    await one.queue.put_all()
    await one.write()
    assert (await remote.head(CLOSED) is None) is is_later


async def test_n17_04_what_a_clock_that_was_ahead_said_of_a_tag_is_replaced(replicas: list[Replica], remote: Bucket) -> None:
    one, two = replicas
    one.now = NOW + 86_400
    await one.index.put_tag(TAG, TagRecord(OLD, one.now))
    await one.write()
    await two.index.put_tag(TAG, TagRecord(NEW, NOW))
    await two.write()
    found = await tag(remote)
    assert found.record == TagRecord(NEW, NOW)
    assert {each.digest for each in found.history[:-1]} >= {OLD.digest}, "what is known of it stays"
    assert found.history[-1].digest == NEW.digest
    one.now = NOW + 10
    await one.index.put_tag(TAG, TagRecord(OLD, NOW + 10))
    await one.write()
    assert (await tag(remote)).record == TagRecord(OLD, NOW + 10)


async def test_n17_04_a_push_signs_with_the_new_key_what_an_old_one_signed(tmp_path: Path, remote: Bucket) -> None:
    """And moves no blob for that, which the disk need not even have any longer."""
    body = b"a blob"
    async with replica_at(tmp_path, remote) as before:
        digest = await before.put(body)
        await before.index.put_tag(TAG, TagRecord(OLD, NOW))
        await before.index.put_refused(APP, "no")
        await before.write()
        await before.store.remove(digest)
    async with replica_at(tmp_path, remote, f"{OTHER_KEY},{KEY}") as after:
        await after.queue.put_all()
        await after.write()
        await after.queue.put_all()
        assert await after.write() == ["queued", "there", "queued", "there", "there"]
    for path in (objects.sums(digest), objects.link("blob", APP, digest), THE_TAG, CLOSED):
        assert signer(OTHER_KEY).verified(path, await remote.get(path, 10_000)) is not None
    assert await remote.get(objects.blob(digest), 100) == body


async def test_n17_04_what_is_no_document_is_written_over(replicas: list[Replica], remote: Bucket) -> None:
    one, _ = replicas
    digest = await one.put(b"a blob")
    await one.index.put_tag(TAG, TagRecord(OLD, NOW))
    await one.index.put_refused(APP, "no")
    paths = (objects.sums(digest), objects.link("blob", APP, digest), THE_TAG, CLOSED)
    for path, junk in zip(paths, (bytes(2_000_000), b"", b"x", bytes(20_000)), strict=True):
        await remote.put(path, junk)
    await one.write()
    for path in paths:
        assert signer().verified(path, await remote.get(path, 10_000)) is not None


@pytest.mark.parametrize("is_recorded", [True, False])
async def test_n17_04_what_is_short_there_takes_nothing_from_the_disk(replicas: list[Replica], remote: Bucket, is_recorded: bool) -> None:
    """Content lies in its place a moment before it is on record; how long it is, the object store does not know."""
    [one, _], body = replicas, b"a layer of some bytes"
    digest = Digest.of(body)
    await one.store.write(digest, body)
    if is_recorded:
        await one.index.put(Kind.BLOB, APP, Descriptor("application/octet-stream", digest, len(body)))
        await one.write()
    await remote.put(objects.blob(digest), body[:5])
    await one.queue.repair(digest)
    [repair] = await one.queue.due(one.now, 1)
    assert await one.writer.write(repair) == ("repaired" if is_recorded else "later")
    assert await one.store.read(digest, len(body)) == body
    assert await remote.get(objects.blob(digest), 100) == (body if is_recorded else body[:5])


async def test_n17_04_a_manifest_that_is_short_there_is_written_again(replicas: list[Replica], remote: Bucket) -> None:
    [one, _], body = replicas, b'{"layers": []}'
    digest = Digest.of(body)
    await one.store.write(digest, body)
    await one.index.put(Kind.MANIFEST, APP, Descriptor("application/vnd.oci.image.manifest.v1+json", digest, len(body)))
    await one.write()
    await remote.put(objects.blob(digest), body[:5])
    await one.queue.repair(digest)
    assert await one.write() == ["repaired"]
    assert await remote.get(objects.blob(digest), 100) == body
