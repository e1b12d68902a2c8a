"""What lies under the name of a digest is not believed."""

import asyncio
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from regproxy.storage.disk import DiskStore
from tests.storage.stored import BODY, DIGEST, open_files, path


def _truncate(path: Path) -> None:
    os.truncate(path, 100)


def _empty(path: Path) -> None:
    os.truncate(path, 0)


def _grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def _directory(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "inside").write_text("x")


def _symlink(path: Path) -> None:
    target = path.with_name("target")
    path.rename(target)
    path.symlink_to(target)


def _fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize("damage", [_truncate, _empty, _grow, _directory, _symlink, _fifo])
async def test_d08_what_is_not_a_file_of_the_right_size_is_a_miss(store: DiskStore, tmp_path: Path, damage: Callable[[Path], None]) -> None:
    await store.write(DIGEST, BODY)
    await asyncio.to_thread(damage, path(tmp_path))
    assert await store.open(DIGEST, len(BODY)) is None
    assert await store.read(DIGEST, len(BODY)) is None
    await store.write(DIGEST, BODY)
    assert await store.read(DIGEST, len(BODY)) == BODY


async def test_putting_a_link_aside_leaves_alone_what_it_points_to(store: DiskStore, tmp_path: Path) -> None:
    await store.write(DIGEST, BODY)
    _symlink(path(tmp_path))
    await store.quarantine(DIGEST)
    assert stat.S_IMODE(path(tmp_path).with_name("target").stat().st_mode) == 0o600


async def test_d33_damaged_content_takes_a_gibibyte_at_most(store: DiskStore, tmp_path: Path) -> None:
    async def damaged(size: int) -> None:
        await store.write(DIGEST, BODY)
        await asyncio.to_thread(os.truncate, path(tmp_path), size)
        await store.quarantine(DIGEST)

    def kept() -> list[int]:
        return sorted(each.stat().st_size for each in (tmp_path / "store" / "quarantine").iterdir())

    for size in (1, 2**29, 2**29, 2):
        await damaged(size)
    assert kept() == [2, 2**29]
    await damaged(2**30 + 1)
    assert kept() == []
    for size in range(1, 10):
        await damaged(size)
    assert kept() == list(range(2, 10))


async def test_small_content_is_verified_at_every_read(store: DiskStore, tmp_path: Path) -> None:
    await store.write(DIGEST, BODY)
    with path(tmp_path).open("r+b") as file:
        file.write(b"L")
    assert await store.read(DIGEST, len(BODY)) is None
    assert not path(tmp_path).exists(), "it was put aside"


async def test_a_shard_lists_files_by_digest_with_size_and_time_of_writing(store: DiskStore, tmp_path: Path) -> None:
    await store.write(DIGEST, BODY)
    os.utime(path(tmp_path), (7.0, 5.5))
    [found] = await store.list_shard(DIGEST.hex[:2])
    assert (found.name, found.digest, found.size, found.modified_at) == (str(DIGEST), DIGEST, len(BODY), 5.5)
    assert await store.list_shard("zz") == []


async def test_listing_names_what_it_ignores_by_its_path(store: DiskStore, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    await store.write(DIGEST, BODY)
    strange = path(tmp_path).with_name("notes.txt")
    strange.write_text("mine")
    assert [each.digest for each in await store.list_shard(DIGEST.hex[:2])] == [DIGEST]
    assert [getattr(record, "fields")["path"] for record in caplog.records] == [str(strange)[-200:]]  # noqa: B009


async def test_listing_tells_the_size_of_a_link_and_not_of_what_it_points_to(store: DiskStore, tmp_path: Path) -> None:
    await store.write(DIGEST, BODY)
    _symlink(path(tmp_path))
    assert [each.size for each in await store.list_shard(DIGEST.hex[:2]) if each.digest == DIGEST] == [path(tmp_path).lstat().st_size]


async def test_listing_leaves_no_descriptor_open(store: DiskStore, tmp_path: Path) -> None:
    await store.write(DIGEST, BODY)
    before = open_files(tmp_path)
    for _ in range(10):
        await store.list_shard(DIGEST.hex[:2])
    assert open_files(tmp_path) == before


@pytest.mark.parametrize("size", [0, 100, 10**9])
async def test_a_size_that_somebody_claims_takes_no_content_away(store: DiskStore, size: int) -> None:
    await store.write(DIGEST, BODY)
    assert await store.read(DIGEST, size) is None
    assert await store.read(DIGEST, len(BODY)) == BODY
