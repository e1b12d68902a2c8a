"""A manifest is kept whole or not at all: its bytes, who holds it, and what it needs."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from regproxy.best_effort import BestEffortIndex, BestEffortStore, keep_manifest
from regproxy.index.sqlite import SqliteIndex
from regproxy.oci.descriptor import Descriptor
from regproxy.oci.digest import Digest
from regproxy.oci.manifest import OCI_INDEX, Manifest
from regproxy.oci.reference import Repository
from regproxy.policy.store.quota import Limits
from regproxy.ports import Kind
from regproxy.storage.disk import DiskStore
from tests.test_best_effort import index as broken_index

APP = Repository("docker.io", "library/app")
CHILD = Digest.of(b"child")
LISTED = {"mediaType": "a/b", "digest": str(CHILD), "size": 5}
MANIFEST = Manifest.verify(json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [LISTED]}).encode())
FOUND = MANIFEST.descriptor


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[DiskStore]:
    opened = DiskStore(tmp_path)
    await opened.prepare()
    yield opened
    opened.close()


@pytest.fixture
async def index(tmp_path: Path) -> AsyncIterator[SqliteIndex]:
    opened = await SqliteIndex.open(tmp_path / "index.db")
    yield opened
    await opened.close()


async def test_it_is_written_and_recorded_with_what_it_needs(store: DiskStore, index: SqliteIndex) -> None:
    assert await keep_manifest(BestEffortStore(store), BestEffortIndex(index), APP, MANIFEST)
    assert await store.read(FOUND.digest, FOUND.size) == MANIFEST.body
    assert await index.held(Kind.MANIFEST, APP, FOUND.digest) == FOUND
    await index.put(Kind.BLOB, APP, Descriptor("a/b", CHILD, 5))
    assert [each.digest for each in await index.ledger().idlest(10, often=False)] == [FOUND.digest], "it needs the child"


async def test_nothing_is_recorded_of_what_there_is_no_room_for(store: DiskStore, index: SqliteIndex) -> None:
    store.limit(Limits(max_size=1))
    assert not await keep_manifest(BestEffortStore(store), BestEffortIndex(index), APP, MANIFEST)
    assert await index.held(Kind.MANIFEST, APP, FOUND.digest) is None


async def test_d32_what_cannot_be_recorded_is_not_kept(store: DiskStore) -> None:
    assert not await keep_manifest(BestEffortStore(store), broken_index, APP, MANIFEST)
