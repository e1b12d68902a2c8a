"""What the disk store promises: nothing in it is unverified, nothing it finds is believed."""

import asyncio
import os
import stat
from pathlib import Path

import pytest

from regproxy.oci.digest import Digest
from regproxy.policy.store.quota import Limits
from regproxy.ports import Oversized
from regproxy.storage.disk import DiskStore
from regproxy.storage.opened import OpenBlob
from tests.storage.stored import BODY, DIGEST, open_files, path


def _is_closed(content: OpenBlob) -> bool:
    return content.file.closed


async def test_d08_a_file_that_shrinks_while_it_is_kept_open_is_a_miss(store: DiskStore, tmp_path: Path) -> None:
    await store.write(DIGEST, BODY)
    content = await store.open(DIGEST, len(BODY))
    assert content is not None
    content.release()
    os.truncate(path(tmp_path), 100)
    assert await store.open(DIGEST, len(BODY)) is None


async def test_d09_a_deleted_file_is_a_miss_even_if_it_was_kept_open(store: DiskStore, tmp_path: Path) -> None:
    await store.write(DIGEST, BODY)
    content = await store.open(DIGEST, len(BODY))
    assert content is not None
    path(tmp_path).unlink()
    assert await store.open(DIGEST, len(BODY)) is None
    assert os.pread(content.file.fileno(), len(BODY), 0) == BODY, "who reads it may read on"
    content.release()


async def test_what_another_process_put_aside_is_a_miss_even_if_it_was_kept_open(store: DiskStore, tmp_path: Path) -> None:
    await store.write(DIGEST, BODY)
    content = await store.open(DIGEST, len(BODY))
    assert content is not None
    content.release()
    other = DiskStore(tmp_path / "store")
    await other.quarantine(DIGEST)
    other.close()
    assert await store.open(DIGEST, len(BODY)) is None


async def test_descriptors_kept_open_are_bounded(store: DiskStore, tmp_path: Path) -> None:
    bodies = [str(number).encode() for number in range(600)]
    before = open_files(tmp_path)
    for body in bodies:
        lying = path(tmp_path, Digest.of(body))  # without the fsync that the store's own writing takes
        lying.parent.mkdir(parents=True, exist_ok=True)
        lying.write_bytes(body)
        content = await store.open(Digest.of(body), len(body))
        assert content is not None
        content.release()
    assert open_files(tmp_path) - before <= 520


async def test_simultaneous_opens_of_one_blob_leak_no_descriptor(store: DiskStore, tmp_path: Path) -> None:
    await store.write(DIGEST, BODY)
    before = open_files(tmp_path)
    opened = await asyncio.gather(*(store.open(DIGEST, len(BODY)) for _ in range(50)))
    for content in opened:
        assert content is not None
        content.release()
    assert open_files(tmp_path) - before <= 1


async def test_nobody_else_may_read_the_store(store: DiskStore, tmp_path: Path) -> None:
    await store.write(DIGEST, BODY)
    assert stat.S_IMODE(path(tmp_path).stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "store" / "blobs").stat().st_mode) == 0o700


async def test_what_another_process_removed_takes_no_room_for_long(store: DiskStore, tmp_path: Path) -> None:
    """A descriptor kept for the next hit would keep the file's room as well, for as long as nobody asks for it."""
    other = DiskStore(tmp_path / "store")
    await other.join()
    await store.write(DIGEST, BODY)
    content = await other.open(DIGEST, len(BODY))
    assert content is not None
    content.release()
    assert not _is_closed(content)
    letting_go = asyncio.create_task(other.let_go())
    await store.remove(DIGEST)
    async with asyncio.timeout(300):
        while not _is_closed(content):  # noqa: ASYNC110 -- a file sets no event
            await asyncio.sleep(0.05)
    letting_go.cancel()
    other.close()


async def test_d02_what_is_larger_than_the_whole_store_is_no_trouble_of_the_store(store: DiskStore) -> None:
    """Else a host that promises 100 GB, or sends without end, could raise an alarm at each pull."""
    limit = 1024 * 1024
    store.limit(Limits(max_size=limit))
    promised = await store.ingest(DIGEST, 100 * 1024**3)
    assert store.trouble is None
    promised.close()
    endless = await store.ingest(DIGEST, None)
    with pytest.raises(Oversized, match="more than the store may hold"):
        await endless.write([bytes(limit + 1)])
    assert store.trouble is None
    await endless.discard()
    endless.close()
    await store.write(DIGEST, BODY)
    assert await store.read(DIGEST, len(BODY)) == BODY


async def test_d02_what_would_fit_and_does_not_is_trouble_of_the_store(store: DiskStore) -> None:
    limit = 1024 * 1024
    store.limit(Limits(max_size=limit))
    first = await store.ingest(DIGEST, limit // 8 * 7)
    second = await store.ingest(Digest.of(b"second"), limit // 2)
    assert store.trouble == f"no space for {limit // 2} bytes: everything in the store is in use or being fetched"
    for ingest in (first, second):
        await ingest.discard()
        ingest.close()


async def test_d18_a_look_makes_nothing_where_the_volume_was(store: DiskStore, tmp_path: Path) -> None:
    root = tmp_path / "store"
    root.rename(tmp_path / "unmounted")
    root.mkdir()
    await store.look()
    assert list(root.iterdir()) == []
    assert (tmp_path / "unmounted" / "running").exists()
