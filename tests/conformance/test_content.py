"""What every adapter of the port Content promises to whoever sends it."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from regproxy.fill.fill import Fill
from regproxy.oci.digest import Digest
from regproxy.oci.reference import Repository
from regproxy.ports import Content
from regproxy.storage.disk import DiskStore

BODY = bytes(range(256)) * 1000
HALF = len(BODY) // 2
DIGEST = Digest.of(BODY)


@asynccontextmanager
async def _stored(store: DiskStore) -> AsyncIterator[Content]:
    await store.write(DIGEST, BODY)
    content = await store.open(DIGEST, len(BODY))
    assert content is not None
    yield content
    content.release()


@asynccontextmanager
async def _followed(store: DiskStore) -> AsyncIterator[Content]:
    """Follow a copy of which the second half comes while it is read."""
    fill = Fill(DIGEST, Repository("docker.io", "library/app"), None, lambda: None)
    follower = fill.follow()
    ingest = await store.ingest(DIGEST, len(BODY))
    fill.begin(ingest, len(BODY), 0)

    async def copy() -> None:
        for start in (0, HALF):
            await ingest.write([BODY[start : start + HALF]])
            fill.advance(HALF)
            await asyncio.sleep(0)
        await ingest.commit()
        fill.verified()

    copying = asyncio.create_task(copy())
    await follower.started()
    yield follower
    await copying
    follower.release()
    fill.end()


@pytest.fixture(params=[_stored, _followed], ids=["stored", "being copied"])
async def content(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Content]:
    store = DiskStore(tmp_path / "store")
    await store.prepare()
    async with request.param(store) as found:
        yield found
    store.close()


async def _read(content: Content, start: int, stop: int) -> bytes:
    body = bytearray()
    while start + len(body) < stop:
        extent = await content.extent(start + len(body), stop)
        assert 0 < extent.length <= stop - start - len(body)
        body += os.pread(extent.file.fileno(), extent.length, extent.offset)
    return bytes(body)


@pytest.mark.parametrize(("start", "stop"), [(0, len(BODY)), (0, 1), (HALF - 1, HALF + 1), (len(BODY) - 1, len(BODY))])
async def test_every_part_is_right_and_the_size_known_before_it(content: Content, start: int, stop: int) -> None:
    assert content.size == len(BODY)
    assert await _read(content, start, stop) == BODY[start:stop]


async def test_several_read_at_once(content: Content) -> None:
    parts = await asyncio.gather(*(_read(content, start, start + 1000) for start in (0, 1000, HALF)))
    assert parts == [BODY[start : start + 1000] for start in (0, 1000, HALF)]


async def test_to_put_it_aside_fails_nobody_who_reads(content: Content) -> None:
    await content.spoiled()
    assert await _read(content, 0, len(BODY)) == BODY
    assert not content.is_kept
