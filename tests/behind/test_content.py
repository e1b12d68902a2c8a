"""What is copied from a disk is what its digest says, or nothing is."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from regproxy.behind.content import LocalContent, Unreadable
from regproxy.oci.digest import Digest
from regproxy.policy.store.pieces import piece_size
from regproxy.storage.blob_files import path_of
from regproxy.storage.disk import DiskStore

BODY = bytes(range(256)) * 10_000
DIGEST = Digest.of(BODY)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[DiskStore]:
    opened = DiskStore(tmp_path)
    await opened.prepare()
    await opened.write(DIGEST, BODY)
    yield opened
    opened.close()


async def test_n17_04_a_blob_is_read_with_the_hashes_of_its_pieces(store: DiskStore) -> None:
    async with LocalContent(store).opened(DIGEST, len(BODY)) as reading:
        chunks = [chunk async for chunk in reading.chunks()]
        sums = reading.sums()
    assert b"".join(chunks) == BODY
    assert sums.size == len(BODY)
    assert all(sums.is_right(place * piece_size(len(BODY)), chunk) for place, chunk in enumerate(chunks))
    assert await LocalContent(store).read(DIGEST, len(BODY)) == BODY


@pytest.mark.parametrize("damage", [BODY[:-1] + b"x", BODY[:-10]], ids=["wrong", "short"])
async def test_n17_04_the_last_piece_of_what_is_damaged_is_not_given(store: DiskStore, tmp_path: Path, damage: bytes) -> None:
    path_of(tmp_path, DIGEST).write_bytes(damage)
    given = bytearray()

    async def read() -> None:
        async with LocalContent(store).opened(DIGEST, len(BODY)) as reading:
            async for chunk in reading.chunks():
                given.extend(chunk)

    with pytest.raises(Unreadable):
        await read()
    assert len(given) < len(BODY), "nobody takes it for whole"


async def test_n17_04_what_is_not_there_cannot_be_read(store: DiskStore) -> None:
    await store.remove(DIGEST)
    with pytest.raises(Unreadable):
        await LocalContent(store).read(DIGEST, len(BODY))
    with pytest.raises(Unreadable):
        async with LocalContent(store).opened(DIGEST, len(BODY)):
            pass
