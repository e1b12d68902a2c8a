"""Content on its way in where the disk does not take it: it passes, and every byte is right."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from regproxy.oci.digest import Digest, DigestMismatch
from regproxy.policy.store.quota import Limits
from regproxy.ports import Extent, Full, StoreError
from regproxy.storage.disk import DiskStore
from regproxy.storage.ingest import DiskIngest
from regproxy.storage.ring_buffer import WINDOW

MIB = 1024 * 1024
LARGE = os.urandom(3 * MIB) * 12
DIGEST = Digest.of(LARGE)


@pytest.fixture
async def tiny(tmp_path: Path) -> AsyncIterator[DiskStore]:
    store = DiskStore(tmp_path / "store", Limits(max_size=4 * MIB))
    await store.prepare()
    yield store
    store.close()


def _read(extent: Extent) -> bytes:
    return os.pread(extent.file.fileno(), extent.length, extent.offset)


async def _write(ingest: DiskIngest, body: bytes) -> None:
    for start in range(0, len(body), MIB):
        await ingest.write([body[start : start + MIB]])


class Reader:
    """The only reader of an ingest, and where it is."""

    def __init__(self, ingest: DiskIngest) -> None:
        self.position: int | None = 0
        self._ingest = ingest
        ingest.follow(lambda: self.position)

    def at(self, position: int | None) -> None:
        self.position = position
        self._ingest.moved()


async def _read_all(ingest: DiskIngest, size: int) -> bytes:
    """Read what may be read, telling as we go; a byte that is not there yet is waited for."""
    body = bytearray()
    reader = Reader(ingest)
    while len(body) < size:
        if len(body) < ingest.written:
            body += _read(ingest.extent(len(body), ingest.written))
            reader.at(len(body))
        await asyncio.sleep(0)
    return bytes(body)


@pytest.mark.parametrize("promised", [len(LARGE), None], ids=["known to be too large", "found out on the way"])
async def test_what_has_no_room_passes_whole(tiny: DiskStore, tmp_path: Path, promised: int | None) -> None:
    ingest = await tiny.ingest(DIGEST, promised)
    body, _ = await asyncio.gather(_read_all(ingest, len(LARGE)), _write(ingest, LARGE))
    assert body == LARGE
    with pytest.raises(Full):
        await ingest.commit()
    await ingest.discard()
    ingest.close()
    assert tiny.quota.held == tiny.quota.promised == 0
    assert list((tmp_path / "store" / "ingest").iterdir()) == []


async def test_what_passes_and_is_wrong_is_known_to_be_wrong(tiny: DiskStore) -> None:
    ingest = await tiny.ingest(Digest.of(b"something else"), len(LARGE))
    await asyncio.gather(_read_all(ingest, len(LARGE)), _write(ingest, LARGE))
    with pytest.raises(DigestMismatch):
        ingest.verify()
    ingest.close()


async def test_memory_is_bounded_by_the_slowest_reader(tiny: DiskStore) -> None:
    ingest = await tiny.ingest(DIGEST, len(LARGE))
    reader = Reader(ingest)
    await _write(ingest, LARGE[:WINDOW])
    assert ingest.is_whole
    reader.at(MIB)
    await ingest.write([LARGE[WINDOW : WINDOW + MIB]])
    assert [ingest.is_whole] == [False], "the first byte has gone"
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await ingest.write([LARGE[WINDOW + MIB : WINDOW + 2 * MIB]])
    reader.at(None)
    with pytest.raises(Full):
        await ingest.write([b"more"])
    ingest.close()


async def test_what_nobody_reads_does_not_pass(tiny: DiskStore) -> None:
    ingest = await tiny.ingest(DIGEST, len(LARGE))
    assert ingest.is_whole
    with pytest.raises(Full):
        await _write(ingest, LARGE)
    assert [ingest.is_whole] == [False], "who joins while it ends would share its end"
    ingest.close()


async def test_room_is_promised_before_it_is_written(tiny: DiskStore) -> None:
    first = await tiny.ingest(DIGEST, 3 * MIB)
    assert tiny.quota.promised == 3 * MIB
    second = await tiny.ingest(DIGEST, 2 * MIB)
    assert tiny.quota.promised == 3 * MIB, "the second is not kept"
    for ingest in (first, second):
        await ingest.discard()
        ingest.close()
    assert tiny.quota.promised == 0


async def test_the_room_that_is_held_is_what_lies_on_the_disk(tiny: DiskStore, tmp_path: Path) -> None:
    bodies = [os.urandom(size) for size in (1, 5000, MIB)]
    for body in bodies:
        await tiny.write(Digest.of(body), body)
    blocks = sum(path.stat().st_blocks * 512 for path in (tmp_path / "store" / "blobs").rglob("*") if path.is_file())
    assert tiny.quota.held == blocks
    for body in bodies:
        await tiny.remove(Digest.of(body))
    assert tiny.quota.held == 0


async def test_d10_room_is_counted_until_the_last_reader_is_done(tiny: DiskStore) -> None:
    body = os.urandom(MIB)
    await tiny.write(Digest.of(body), body)
    content = await tiny.open(Digest.of(body), MIB)
    assert content is not None
    await tiny.remove(Digest.of(body))
    assert _read(await content.extent(0, MIB)) == body
    assert tiny.quota.held == MIB
    content.release()
    assert tiny.quota.held == 0


async def test_d24_a_disk_that_hangs_is_given_up_on(tmp_path: Path) -> None:
    """All threads of the disk are stuck in it; what needs no disk goes on."""
    store = DiskStore(tmp_path / "store", timeout=2)
    await store.prepare()
    woken = threading.Event()
    stuck = [asyncio.create_task(store._run(woken.wait)) for _ in range(32)]
    await asyncio.sleep(0)
    with pytest.raises(StoreError, match="did not answer"):
        await store.open(DIGEST, len(LARGE))
    ingest = await store.ingest(DIGEST, len(LARGE))
    body, _ = await asyncio.gather(_read_all(ingest, len(LARGE)), _write(ingest, LARGE))
    ingest.verify()
    assert body == LARGE
    woken.set()
    await asyncio.gather(*stuck, return_exceptions=True)
    ingest.close()
    store.close()


async def test_d12_b10_a_failed_copy_leaves_the_good_one_alone(tiny: DiskStore) -> None:
    """B10: nexspence #198 cleans up by key, and with it what another copy had just brought."""
    body = os.urandom(MIB)
    digest = Digest.of(body)
    good, bad = await tiny.ingest(digest, MIB), await tiny.ingest(digest, MIB)
    await bad.write([b"half"])
    await good.write([body])
    await good.commit()
    await bad.discard()
    assert await tiny.read(digest, MIB) == body
    for ingest in (good, bad):
        ingest.close()


async def test_d13_b9_removing_and_bringing_back_at_once_leaves_a_file_or_a_miss(tiny: DiskStore) -> None:
    body = os.urandom(MIB)
    digest = Digest.of(body)
    await tiny.write(digest, body)
    for _ in range(50):
        await asyncio.gather(tiny.remove(digest), tiny.write(digest, body), tiny.read(digest, MIB), tiny.remove(digest))
        assert await tiny.read(digest, MIB) in (body, None)
    await tiny.remove(digest)
    assert (tiny.quota.held, tiny.quota.promised) == (0, 0)
