"""What every adapter of the port ContentStore promises."""

import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from regproxy.best_effort import BestEffortStore
from regproxy.oci.digest import DigestMismatch
from regproxy.oci.reference import Repository
from regproxy.ports import ContentStore, Extent, Resumable
from regproxy.storage.disk import DiskStore
from tests.storage.stored import BODY, DIGEST, path

ADAPTERS: dict[str, Callable[[DiskStore], ContentStore]] = {"disk": lambda store: store, "best effort": BestEffortStore}
APP, OTHER = Repository("docker.io", "library/app"), Repository("quay.io", "library/app")


@pytest.fixture(params=ADAPTERS.values(), ids=list(ADAPTERS))
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[ContentStore]:
    opened = DiskStore(tmp_path / "store")
    await opened.prepare()
    yield request.param(opened)
    opened.close()


async def test_content_comes_back_as_it_was_written(store: ContentStore) -> None:
    await store.write(DIGEST, BODY)
    content = await store.open(DIGEST, len(BODY))
    assert content is not None
    assert await content.extent(0, content.size) == Extent((await content.extent(0, 1)).file, 0, len(BODY))
    assert os.pread((await content.extent(0, content.size)).file.fileno(), content.size, 0) == BODY
    content.release()
    assert await store.read(DIGEST, len(BODY)) == BODY


async def test_wrong_content_gets_no_name(store: ContentStore, tmp_path: Path) -> None:
    with pytest.raises(DigestMismatch):
        await store.write(DIGEST, BODY + b"!")
    assert not path(tmp_path).exists()
    assert list((tmp_path / "store" / "ingest").iterdir()) == []


async def test_content_on_its_way_in_is_invisible(store: ContentStore) -> None:
    ingest = await store.ingest(DIGEST, len(BODY))
    await ingest.write([BODY])
    assert await store.open(DIGEST, len(BODY)) is None
    await ingest.commit()
    content = await store.open(DIGEST, len(BODY))
    assert content is not None
    content.release()
    ingest.close()


async def test_readers_of_an_ingest_read_on_after_it_was_discarded(store: ContentStore) -> None:
    ingest = await store.ingest(DIGEST, len(BODY))
    await ingest.write([BODY])
    extent = ingest.extent(0, len(BODY))
    await ingest.discard()
    assert os.pread(extent.file.fileno(), extent.length, extent.offset) == BODY
    ingest.close()


async def test_what_a_crash_left_is_gone_on_with(store: ContentStore) -> None:
    """But for its last byte, which upstream is asked for: it has a say in who may have the blob."""
    crashed = await store.ingest(DIGEST, len(BODY))
    await crashed.write([BODY[:5]])
    crashed.leave()
    await crashed.discard()
    crashed.close()
    assert await store.resumable(DIGEST) == Resumable(4)
    ingest = await store.ingest(DIGEST, len(BODY), Resumable(4))
    await ingest.write([BODY[4:]])
    await ingest.commit()
    ingest.close()
    assert await store.read(DIGEST, len(BODY)) == BODY
    assert await store.resumable(DIGEST) == Resumable()


async def test_what_a_crash_left_is_believed_no_more_than_an_upstream(store: ContentStore) -> None:
    crashed = await store.ingest(DIGEST, len(BODY))
    await crashed.write([b"?" * 5])
    crashed.leave()
    await crashed.discard()
    crashed.close()
    ingest = await store.ingest(DIGEST, len(BODY), Resumable(4))
    await ingest.write([BODY[4:]])
    with pytest.raises(DigestMismatch):
        await ingest.commit()
    await ingest.discard()
    ingest.close()
    assert await store.resumable(DIGEST) == Resumable()


async def test_one_holds_the_lock_of_an_upstream_until_it_is_released(store: ContentStore, tmp_path: Path) -> None:
    neighbour = DiskStore(tmp_path / "store")
    await neighbour.join()
    assert await store.acquire(DIGEST, APP) is None
    peer = await neighbour.acquire(DIGEST, APP)
    assert peer is not None
    assert await neighbour.acquire(DIGEST, OTHER) is None, "no upstream delays another"
    assert list(await neighbour.ingesting()) == list(await store.ingesting()) == [DIGEST]
    assert not store.is_wanted(DIGEST, "docker.io")
    peer.want()
    assert store.is_wanted(DIGEST, "docker.io")
    peer.close()
    await store.release(DIGEST, "docker.io")
    assert await neighbour.acquire(DIGEST, APP) is None
    for upstream in ("docker.io", "quay.io"):
        await neighbour.release(DIGEST, upstream)
    neighbour.close()


async def test_what_has_landed_is_read_as_what_is_on_its_way(store: ContentStore) -> None:
    assert await store.landed(DIGEST, len(BODY)) is None
    await store.write(DIGEST, BODY)
    incoming = await store.landed(DIGEST, len(BODY))
    assert incoming is not None
    extent = incoming.extent(5, 10)
    assert os.pread(extent.file.fileno(), extent.length, extent.offset) == BODY[5:10]
    incoming.close()
