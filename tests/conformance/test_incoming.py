"""What every adapter of the port Incoming promises to those who read content while it comes."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from regproxy.oci.digest import Digest
from regproxy.oci.reference import Repository
from regproxy.ports import Extent, Incoming, Resumable
from regproxy.storage.disk import DiskStore

BODY = bytes(range(256)) * 1000
HALF = len(BODY) // 2
DIGEST = Digest.of(BODY)
APP = Repository("docker.io", "library/app")


async def _own(store: DiskStore, _: DiskStore) -> Incoming:
    ingest = await store.ingest(DIGEST, len(BODY))
    await ingest.write([BODY])
    return ingest


async def _of_a_peer(store: DiskStore, peer: DiskStore) -> Incoming:
    """Read what another process copies in."""
    await peer.acquire(DIGEST, APP)
    ingest = await peer.ingest(DIGEST, len(BODY), locked_for="docker.io")
    await ingest.write([BODY])
    watched = await store.acquire(DIGEST, APP)
    assert watched is not None
    while watched.incoming is None:
        assert await watched.status() is not None
    incoming = watched.incoming
    await ingest.commit()
    ingest.close()
    watched.close()
    await peer.release(DIGEST, "docker.io")
    return incoming


async def _landed(store: DiskStore, _: DiskStore) -> Incoming:
    await store.write(DIGEST, BODY)
    landed = await store.landed(DIGEST, len(BODY))
    assert landed is not None
    return landed


async def _gone_on_with(store: DiskStore, _: DiskStore) -> Incoming:
    begun = await store.ingest(DIGEST, len(BODY))
    await begun.write([BODY[: HALF + 1]])
    begun.leave()
    await begun.discard()
    begun.close()
    ingest = await store.ingest(DIGEST, len(BODY), Resumable(HALF))
    await ingest.write([BODY[HALF:]])
    return ingest


ADAPTERS: dict[str, Callable[[DiskStore, DiskStore], Awaitable[Incoming]]] = {
    "our own copy": _own,
    "our own copy, gone on with": _gone_on_with,
    "a copy of another process": _of_a_peer,
    "what has landed": _landed,
}


@pytest.fixture(params=ADAPTERS.values(), ids=list(ADAPTERS))
async def incoming(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Incoming]:
    store, peer = DiskStore(tmp_path / "store"), DiskStore(tmp_path / "store")
    await store.prepare()
    await peer.join()
    found: Incoming = await request.param(store, peer)
    yield found
    found.close()
    for each in (store, peer):
        each.close()


def _read(extent: Extent) -> bytes:
    return os.pread(extent.file.fileno(), extent.length, extent.offset)


@pytest.mark.parametrize(("start", "stop"), [(0, 1), (0, len(BODY)), (HALF - 1, HALF + 1), (len(BODY) - 1, len(BODY))])
async def test_all_that_was_written_can_be_read_from_anywhere(incoming: Incoming, start: int, stop: int) -> None:
    body = bytearray()
    while start + len(body) < stop:
        piece = _read(incoming.extent(start + len(body), stop))
        assert 0 < len(piece) <= stop - start - len(body)
        body += piece
    assert bytes(body) == BODY[start:stop]
    assert incoming.is_whole


async def test_readers_come_and_go_and_the_same_bytes_have_one_origin(incoming: Incoming) -> None:
    incoming.follow(lambda: 0)
    incoming.moved()
    incoming.follow(lambda: None)
    incoming.moved()
    assert incoming.origin == incoming.origin
    assert incoming.origin != object()
