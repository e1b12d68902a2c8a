"""What is found in an object store is recorded here, so that it is looked for once."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from regproxy.behind.index import BackedIndex, BackedStore
from regproxy.best_effort import BestEffortStore
from regproxy.oci.descriptor import Descriptor
from regproxy.oci.digest import Digest
from regproxy.oci.reference import Reference
from regproxy.policy.freshness import TagRecord
from regproxy.policy.store import objects
from regproxy.policy.store.quota import Limits
from regproxy.ports import Kind
from regproxy.storage.disk import DiskStore
from tests.behind.filled import BLOB, BODY, FOUND, HISTORY, MANIFEST, TAG, Filled
from tests.behind.replicas import APP, NOW

BY_DIGEST = Reference(APP, FOUND.digest)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[DiskStore]:
    opened = DiskStore(tmp_path / "store")
    await opened.prepare()
    yield opened
    opened.close()


@pytest.fixture
def backed(subject: Filled, store: DiskStore) -> BackedIndex:
    return BackedIndex(subject.index, subject.holders, BestEffortStore(store))


async def test_n17_04_a_tag_is_recorded_with_what_it_has_meant(subject: Filled, backed: BackedIndex) -> None:
    assert await backed.tag(TAG) == TagRecord(FOUND, NOW)
    assert await subject.index.tag(TAG) == TagRecord(FOUND, NOW)
    assert await subject.index.meanings(TAG) == HISTORY


async def test_n17_04_what_a_tag_means_here_is_replaced_by_nothing_from_there(subject: Filled, backed: BackedIndex) -> None:
    ours = TagRecord(Descriptor("a/b", BLOB, 1), NOW - 100)
    await subject.index.put_tag(TAG, ours)
    assert await backed.tag(TAG) == ours
    await backed.recall(TAG)
    assert await backed.tag(TAG) == ours


async def test_n17_04_a_manifest_is_kept_on_this_disk(subject: Filled, backed: BackedIndex, store: DiskStore) -> None:
    assert await backed.held(Kind.MANIFEST, APP, FOUND.digest) == FOUND
    assert await subject.index.held(Kind.MANIFEST, APP, FOUND.digest) == FOUND
    assert await store.read(FOUND.digest, FOUND.size) == MANIFEST


async def test_n17_04_a_manifest_that_the_disk_has_no_room_for_is_read_there(
    backed: BackedIndex, subject: Filled, store: DiskStore
) -> None:
    store.limit(Limits(max_size=1))
    assert await backed.held(Kind.MANIFEST, APP, FOUND.digest) == FOUND
    assert await BackedStore(store, subject.there).read(FOUND.digest, FOUND.size) == MANIFEST


async def test_n17_04_a_blob_that_is_here_needs_only_the_word_from_there(backed: BackedIndex, subject: Filled) -> None:
    assert await backed.held(Kind.BLOB, APP, BLOB) is not None
    assert await subject.index.held(Kind.BLOB, APP, BLOB) is None, "it is not here"
    other = Descriptor("application/octet-stream", BLOB, len(BODY))
    await subject.index.put(Kind.BLOB, type(APP)("docker.io", "library/other"), other)
    assert await backed.held(Kind.BLOB, APP, BLOB) is not None
    assert await subject.index.held(Kind.BLOB, APP, BLOB) == other


@pytest.mark.parametrize("reference", [TAG, BY_DIGEST], ids=["tag", "digest"])
async def test_n17_04_what_is_recalled_is_recorded(backed: BackedIndex, subject: Filled, reference: Reference) -> None:
    found = await backed.recall(reference)
    assert found is not None
    assert found.body == MANIFEST
    assert await subject.index.held(Kind.MANIFEST, APP, FOUND.digest) == FOUND
    assert (await subject.index.tag(TAG) is not None) is (reference is TAG)


@pytest.mark.parametrize("lost", [objects.tag(APP, "1"), objects.link("manifest", APP, FOUND.digest), objects.blob(FOUND.digest)])
async def test_n17_04_a_tag_that_names_nothing_is_not_recalled(backed: BackedIndex, subject: Filled, lost: str) -> None:
    await subject.there.store.delete(lost)
    assert await backed.recall(TAG) is None
    assert await subject.index.tag(TAG) is None


async def test_n17_04_nothing_is_recalled_that_is_not_there(backed: BackedIndex) -> None:
    assert await backed.recall(Reference(APP, Digest.of(b"other"))) is None
