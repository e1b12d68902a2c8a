"""Manifests in the store: whose they are, and what is made of damaged ones."""

import asyncio
import json
import shutil
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from regproxy.best_effort import BestEffortStore
from regproxy.index.sqlite import SqliteIndex
from regproxy.oci.manifest import OCI_INDEX, Manifest
from regproxy.oci.reference import Repository
from regproxy.ports import Kind
from regproxy.pull.manifest_cache import ManifestCache
from regproxy.pull.stored_manifests import StoredManifests
from regproxy.storage.blob_files import path_of
from regproxy.storage.disk import DiskStore

APP, OTHER = Repository("docker.io", "library/app"), Repository("docker.io", "library/other")
MANIFEST = Manifest.verify(json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}).encode())
DIGEST = MANIFEST.descriptor.digest


@dataclass
class Subject:
    """A store, its index, and what two workers know of the manifests in it."""

    root: Path
    index: SqliteIndex
    one: StoredManifests
    other: StoredManifests

    def damage(self, body: bytes) -> None:
        path_of(self.root, DIGEST).write_bytes(body)


@pytest.fixture
async def subject(tmp_path: Path) -> AsyncIterator[Subject]:
    store = DiskStore(tmp_path)
    await store.prepare()
    index = await SqliteIndex.open(tmp_path / "index.db")
    workers = [StoredManifests(BestEffortStore(store), index, ManifestCache(index, time.time)) for _ in range(2)]
    yield Subject(tmp_path, index, *workers)
    await index.close()
    store.close()


async def test_a_manifest_is_held_by_the_repository_that_it_was_kept_for(subject: Subject) -> None:
    assert await subject.one.held(APP, DIGEST) is None
    await subject.one.keep(APP, MANIFEST)
    for worker in (subject.one, subject.other):
        held = await worker.held(APP, DIGEST)
        assert held is not None
        assert (held.body, held.descriptor) == (MANIFEST.body, MANIFEST.descriptor)
        assert await worker.held(OTHER, DIGEST) is None
        assert await worker.anywhere(DIGEST) is not None, "its bytes are here, whoever may have them"


async def test_what_an_index_lists_is_recorded_with_it(subject: Subject) -> None:
    child = {"mediaType": "a/b", "digest": str(DIGEST), "size": 5}
    listing = Manifest.verify(json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [child]}).encode())
    await subject.one.keep(APP, MANIFEST)
    await subject.one.keep(APP, listing)
    assert [image.digest for image in await subject.index.ledger().images()] == [listing.descriptor.digest]


async def test_those_who_read_at_once_share_one(subject: Subject) -> None:
    await subject.one.keep(APP, MANIFEST)
    found = await asyncio.gather(*(subject.other.held(APP, DIGEST) for _ in range(10)))
    assert {id(each) for each in found} == {id(await subject.other.held(APP, DIGEST))}


@pytest.mark.parametrize("body", [MANIFEST.body[:-1], MANIFEST.body.replace(b"2", b"3"), b""], ids=["shorter", "another", "empty"])
async def test_what_is_damaged_is_not_here(subject: Subject, body: bytes) -> None:
    await subject.one.keep(APP, MANIFEST)
    subject.damage(body)
    assert await subject.other.held(APP, DIGEST) is None
    assert not path_of(subject.root, DIGEST).exists(), "it was put aside"


async def test_what_cannot_be_read_as_a_manifest_is_not_here(subject: Subject) -> None:
    """A blob that a registry was asked for as a manifest, by an index of an earlier version."""
    body = b"no manifest"
    blob = Manifest.verify(MANIFEST.body).descriptor.digest.of(body)
    path_of(subject.root, blob).parent.mkdir(parents=True)
    path_of(subject.root, blob).write_bytes(body)
    await subject.index.put(Kind.MANIFEST, APP, type(MANIFEST.descriptor)("a/b", blob, len(body)))
    assert await subject.one.held(APP, blob) is None


async def test_d32_what_the_store_does_not_take_is_held_in_memory_until_something_is_removed(subject: Subject) -> None:
    shutil.rmtree(subject.root / "ingest")
    await subject.one.keep(APP, MANIFEST)
    assert await subject.index.known(Kind.MANIFEST, DIGEST) is None
    assert await subject.one.held(APP, DIGEST) is MANIFEST
    assert await subject.one.held(OTHER, DIGEST) is None
    assert await subject.other.held(APP, DIGEST) is None
    subject.index.forget_answers()
    assert await subject.one.held(APP, DIGEST) is None
