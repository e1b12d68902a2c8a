"""The room and the books: they agree, and neither is hasty."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from regproxy.fill.fills import BLOB_TYPE
from regproxy.index.sqlite import SqliteIndex
from regproxy.maintenance.evictor import Evictor
from regproxy.oci.descriptor import Descriptor
from regproxy.oci.digest import Digest
from regproxy.oci.reference import Repository
from regproxy.policy.store.scrubbing import SHARDS
from regproxy.ports import Kind
from regproxy.pull.usage import Usage
from regproxy.storage.disk import DiskStore


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[DiskStore]:
    store = DiskStore(tmp_path)
    await store.prepare()
    yield store
    store.close()


@pytest.fixture
async def index(tmp_path: Path) -> AsyncIterator[SqliteIndex]:
    index = await SqliteIndex.open(tmp_path / "index.db", lambda: 0.0)
    yield index
    await index.close()


@pytest.fixture
def evictor(store: DiskStore, index: SqliteIndex) -> Evictor:
    ledger = index.ledger()
    return Evictor(store, ledger, Usage(ledger, lambda: 60.0), lambda: 60.0)


async def test_what_is_only_on_its_way_into_the_books_is_not_taken_for_a_difference(store: DiskStore, evictor: Evictor) -> None:
    await evictor.agree()
    store.count(4096)  # as a fill does before it writes its record
    await evictor.agree()
    assert store.counted == 4096
    await evictor.agree()
    assert store.counted == 0, "there was no record to come"


async def test_a_difference_that_changes_is_work_in_progress(store: DiskStore, evictor: Evictor) -> None:
    for size in (4096, 8192, 4096):
        store.count(size)
        await evictor.agree()
    assert store.counted == 16384


async def test_what_is_old_goes_in_batches_and_what_was_used_since_stays(store: DiskStore, index: SqliteIndex, evictor: Evictor) -> None:
    """One by one each would void all that workers remember, and the hits paid for it with a third of their number."""
    blobs = [str(number).encode() for number in range(100)]
    for body in blobs:
        await store.write(Digest.of(body), body)
        await index.put(Kind.BLOB, Repository("docker.io", "library/app"), Descriptor(BLOB_TYPE, Digest.of(body), len(body)))
    used = [Digest.of(body) for body in blobs[:10]]
    await index.ledger().touch([], used, 50.0)
    batches: list[int] = []
    assert len(await evictor.unused(30.0)) == 90
    assert await evictor.collect(30.0, lambda batch: batches.append(len(batch))) == 90 * 4096
    assert batches == [32, 32, 26]
    assert {each.digest for shard in SHARDS for each in await store.list_shard(shard)} == set(used)
    assert (await index.ledger().census()).count == 10
