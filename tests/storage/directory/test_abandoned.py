"""Partial files that nobody writes: how many of them stay, and for how long."""

import os
import time
from pathlib import Path

from regproxy.oci.digest import Digest
from regproxy.policy.store.quota import Limits
from regproxy.storage.directory.abandoned import LEFT_FOR, trim
from regproxy.storage.disk import DiskStore
from tests.storage.stored import BODY, DIGEST

BLOCK = 4096


async def _abandon(store: DiskStore, body: bytes, count: int) -> Digest:
    ingest = await store.ingest(digest := Digest.of(body), len(body))
    await ingest.write([body[:count]])
    ingest.leave()
    await ingest.discard()
    ingest.close()
    return digest


def _made(root: Path, count: int, size: int = 10) -> list[Path]:
    """Make partial files, each a second younger than the one before."""
    (root / "ingest").mkdir()
    paths = [root / "ingest" / f"{number:064x}.x" for number in range(count)]
    for number, path in enumerate(paths):
        path.write_bytes(bytes(size))
        os.utime(path, (time.time() - count + number,) * 2)
    return paths


def test_d31_the_oldest_go_first_and_no_more_than_have_to(tmp_path: Path) -> None:
    paths = _made(tmp_path, 4)
    trimmed = trim(tmp_path, BLOCK + 1)
    assert (trimmed.freed, trimmed.left) == (2 * BLOCK, 2 * BLOCK)
    assert [path.exists() for path in paths] == [False, False, True, True]


def test_d31_there_are_never_too_many_nor_any_that_are_too_old(tmp_path: Path) -> None:
    paths = _made(tmp_path, 1003)
    os.utime(paths[-1], (time.time() - LEFT_FOR - 1,) * 2)
    paths[-2].write_bytes(b"")
    trimmed = trim(tmp_path)
    assert trimmed.left == (1003 - 4) * BLOCK
    assert [path.exists() for path in (*paths[:4], *paths[-3:])] == [False, False, True, True, True, False, False]


def test_what_is_no_partial_file_is_left_alone(tmp_path: Path) -> None:
    assert trim(tmp_path).left == 0, "the volume is gone"
    (tmp_path / "ingest" / "directory").mkdir(parents=True)
    (tmp_path / "ingest" / "link").symlink_to(tmp_path)
    assert trim(tmp_path, 1).left == 0
    assert len(list((tmp_path / "ingest").iterdir())) == 2


async def test_d31_what_an_outage_left_is_counted_until_it_is_resumed(store: DiskStore) -> None:
    await _abandon(store, BODY, 2 * BLOCK)
    assert (store.quota.held, store.quota.promised, store.counted) == (2 * BLOCK, 0, 0)
    ingest = await store.ingest(DIGEST, len(BODY), await store.resumable(DIGEST))
    assert store.quota.held == 2 * BLOCK
    await ingest.write([BODY[2 * BLOCK - 1 :]])
    await ingest.commit()
    await ingest.discard()
    ingest.close()
    taken = -(-len(BODY) // BLOCK) * BLOCK
    assert (store.quota.held, store.counted, store.quota.promised) == (taken, taken, 0)


async def test_d31_what_is_brought_whole_replaces_what_was_left_of_it(store: DiskStore) -> None:
    await _abandon(store, BODY, BLOCK)
    assert await store.write(DIGEST, BODY)
    assert store.quota.held == store.counted


async def test_d31_what_somebody_writes_or_reads_does_not_go(store: DiskStore) -> None:
    ingest = await store.ingest(DIGEST, len(BODY))
    await ingest.write([BODY[:BLOCK]])
    assert await store.remove_abandoned(BLOCK) == 0
    ingest.leave()
    await ingest.discard()
    assert (await store.remove_abandoned(BLOCK), store.quota.held) == (0, BLOCK), "a client reads it"
    ingest.close()
    assert (await store.remove_abandoned(BLOCK), store.quota.held) == (BLOCK, 0)


async def test_d31_another_process_and_the_next_one_count_it_too(store: DiskStore, tmp_path: Path) -> None:
    other = DiskStore(tmp_path / "store")
    await other.join()
    await _abandon(other, BODY, BLOCK)
    assert store.quota.held == BLOCK
    other.close()
    store.close()
    successor = DiskStore(tmp_path / "store", Limits(max_size=100 * BLOCK))
    await successor.prepare()
    assert successor.quota.held == BLOCK
    await successor.look()
    assert successor.quota.held == BLOCK
    successor.close()
