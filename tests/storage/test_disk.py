"""What the disk store promises: nothing in it is unverified, nothing it finds is believed."""

import asyncio
import os
import stat
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from regproxy.oci.digest import Digest, DigestMismatch
from regproxy.policy.store.quota import Limits
from regproxy.ports import Extent, Gone, Oversized, StoreError
from regproxy.storage.disk import DiskStore
from regproxy.storage.opened import OpenBlob

BODY = b"layer " * 10_000
DIGEST = Digest.of(BODY)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[DiskStore]:
    store = DiskStore(tmp_path / "store")
    await store.prepare()
    yield store
    store.close()


def _path(tmp_path: Path, digest: Digest = DIGEST) -> Path:
    return tmp_path / "store" / "blobs" / digest.algorithm / digest.hex[:2] / digest.hex


def _open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def _is_closed(content: OpenBlob) -> bool:
    return content.file.closed


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


async def test_content_comes_back_as_it_was_written(store: DiskStore) -> None:
    await store.write(DIGEST, BODY)
    content = await store.open(DIGEST, len(BODY))
    assert content is not None
    assert await content.extent(0, content.size) == Extent(content.file, 0, len(BODY))
    assert os.pread(content.file.fileno(), content.size, 0) == BODY
    content.release()
    assert await store.read(DIGEST, len(BODY)) == BODY


async def test_wrong_content_gets_no_name(store: DiskStore, tmp_path: Path) -> None:
    with pytest.raises(DigestMismatch):
        await store.write(DIGEST, BODY + b"!")
    assert not _path(tmp_path).exists()
    assert list((tmp_path / "store" / "ingest").iterdir()) == []


async def test_content_on_its_way_in_is_invisible(store: DiskStore) -> None:
    ingest = await store.ingest(DIGEST, len(BODY))
    await ingest.write([BODY])
    assert await store.open(DIGEST, len(BODY)) is None
    await ingest.commit()
    content = await store.open(DIGEST, len(BODY))
    assert content is not None
    content.release()
    ingest.close()


async def test_readers_of_an_ingest_read_on_after_it_was_discarded(store: DiskStore) -> None:
    ingest = await store.ingest(DIGEST, len(BODY))
    await ingest.write([BODY])
    extent = ingest.extent(0, len(BODY))
    await ingest.discard()
    assert os.pread(extent.file.fileno(), extent.length, extent.offset) == BODY
    ingest.close()


@pytest.mark.parametrize("damage", [_truncate, _empty, _grow, _directory, _symlink, _fifo])
async def test_d08_what_is_not_a_file_of_the_right_size_is_a_miss(store: DiskStore, tmp_path: Path, damage: Callable[[Path], None]) -> None:
    await store.write(DIGEST, BODY)
    await asyncio.to_thread(damage, _path(tmp_path))
    assert await store.open(DIGEST, len(BODY)) is None
    assert await store.read(DIGEST, len(BODY)) is None
    await store.write(DIGEST, BODY)
    assert await store.read(DIGEST, len(BODY)) == BODY


async def test_d08_a_file_that_shrinks_while_it_is_kept_open_is_a_miss(store: DiskStore, tmp_path: Path) -> None:
    await store.write(DIGEST, BODY)
    content = await store.open(DIGEST, len(BODY))
    assert content is not None
    content.release()
    _truncate(_path(tmp_path))
    assert await store.open(DIGEST, len(BODY)) is None


async def test_d09_a_deleted_file_is_a_miss_even_if_it_was_kept_open(store: DiskStore, tmp_path: Path) -> None:
    await store.write(DIGEST, BODY)
    content = await store.open(DIGEST, len(BODY))
    assert content is not None
    _path(tmp_path).unlink()
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


async def test_putting_a_link_aside_leaves_alone_what_it_points_to(store: DiskStore, tmp_path: Path) -> None:
    await store.write(DIGEST, BODY)
    _symlink(_path(tmp_path))
    await store.quarantine(DIGEST)
    assert stat.S_IMODE(_path(tmp_path).with_name("target").stat().st_mode) == 0o600


async def test_small_content_is_verified_at_every_read(store: DiskStore, tmp_path: Path) -> None:
    await store.write(DIGEST, BODY)
    with _path(tmp_path).open("r+b") as file:
        file.write(b"L")
    assert await store.read(DIGEST, len(BODY)) is None
    assert not _path(tmp_path).exists(), "it was put aside"


async def test_descriptors_kept_open_are_bounded(store: DiskStore) -> None:
    bodies = [str(number).encode() for number in range(600)]
    before = _open_files()
    for body in bodies:
        await store.write(Digest.of(body), body)
        content = await store.open(Digest.of(body), len(body))
        assert content is not None
        content.release()
    assert _open_files() - before <= 520


async def test_simultaneous_opens_of_one_blob_leak_no_descriptor(store: DiskStore) -> None:
    await store.write(DIGEST, BODY)
    before = _open_files()
    opened = await asyncio.gather(*(store.open(DIGEST, len(BODY)) for _ in range(50)))
    for content in opened:
        assert content is not None
        content.release()
    assert _open_files() - before <= 1


async def test_nobody_else_may_read_the_store(store: DiskStore, tmp_path: Path) -> None:
    await store.write(DIGEST, BODY)
    assert stat.S_IMODE(_path(tmp_path).stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "store" / "blobs").stat().st_mode) == 0o700


async def test_what_a_crash_left_is_gone_on_with(store: DiskStore) -> None:
    """But for its last byte, which upstream is asked for: it has a say in who may have the blob."""
    crashed = await store.ingest(DIGEST, len(BODY))
    await crashed.write([BODY[:5]])
    crashed.leave()
    await crashed.discard()
    crashed.close()
    assert await store.resumable(DIGEST) == 4
    ingest = await store.ingest(DIGEST, len(BODY), 4)
    await ingest.write([BODY[4:]])
    await ingest.commit()
    ingest.close()
    assert await store.read(DIGEST, len(BODY)) == BODY
    assert await store.resumable(DIGEST) == 0


async def test_what_a_crash_left_is_believed_no_more_than_an_upstream(store: DiskStore) -> None:
    crashed = await store.ingest(DIGEST, len(BODY))
    await crashed.write([b"?" * 5])
    crashed.leave()
    await crashed.discard()
    crashed.close()
    ingest = await store.ingest(DIGEST, len(BODY), 4)
    await ingest.write([BODY[4:]])
    with pytest.raises(DigestMismatch):
        await ingest.commit()
    await ingest.discard()
    ingest.close()
    assert await store.resumable(DIGEST) == 0


async def test_a_file_that_somebody_writes_is_nobody_elses(store: DiskStore) -> None:
    alive = await store.ingest(DIGEST, len(BODY))
    await alive.write([BODY])
    with pytest.raises(Gone, match="are gone"):
        await store.ingest(DIGEST, len(BODY), 4)
    await alive.discard()
    alive.close()


async def test_what_a_crash_left_long_ago_is_cleared_away(store: DiskStore, tmp_path: Path) -> None:
    """Except what a living process is still writing: the kernel knows, because it holds the lock."""
    alive = await store.ingest(DIGEST, len(BODY))
    orphan = tmp_path / "store" / "ingest" / "dead.1234"
    orphan.write_bytes(b"half a blob")
    os.utime(orphan, (0, 0))
    again = DiskStore(tmp_path / "store")
    await again.prepare()
    assert not orphan.exists()
    await alive.write([BODY])
    await alive.commit()
    alive.close()
    assert await again.read(DIGEST, len(BODY)) == BODY
    again.close()


@pytest.mark.parametrize(
    "found", [{"important.txt": "mine"}, {"layout": "regproxy store, layout 99\n"}], ids=["not ours", "another layout"]
)
async def test_a_directory_that_is_no_store_of_ours_is_refused(tmp_path: Path, found: dict[str, str]) -> None:
    for name, text in found.items():
        (tmp_path / name).write_text(text)
    store = DiskStore(tmp_path)
    with pytest.raises(StoreError, match=str(tmp_path)):
        await store.prepare()
    store.close()


async def test_readiness_reads_for_real(store: DiskStore, tmp_path: Path) -> None:
    assert await store.check() is None
    (tmp_path / "store" / "layout").unlink()
    with pytest.raises(StoreError):
        await store.check()


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


async def test_who_brings_the_same_content_at_once_gets_in_nobodys_way(store: DiskStore, tmp_path: Path) -> None:
    """Fills of several repositories do: each removes what others have left unfinished, which they may just be renaming."""
    for number in range(40):
        body = b"layer %d" % number
        digest = Digest.of(body)
        await asyncio.gather(*(store.write(digest, body) for _ in range(8)))
        assert _path(tmp_path, digest).read_bytes() == body
    assert list((tmp_path / "store" / "ingest").iterdir()) == []
    assert store.trouble is None


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
    first = await store.ingest(DIGEST, limit - 4096)
    second = await store.ingest(Digest.of(b"second"), limit // 2)
    assert store.trouble == f"no space for {limit // 2} bytes: everything in the store is in use"
    for ingest in (first, second):
        await ingest.discard()
        ingest.close()


async def test_n12_02_what_is_being_written_is_not_resumed(store: DiskStore, tmp_path: Path) -> None:
    """Another upstream's fill of the same digest would have its bytes asked for a second time, in vain."""
    other = DiskStore(tmp_path / "store")
    await other.join()
    ingest = await store.ingest(DIGEST, len(BODY))
    await ingest.write([BODY[:1000]])
    assert await other.resumable(DIGEST) == 0
    ingest.leave()
    await ingest.discard()
    ingest.close()
    assert await other.resumable(DIGEST) == 999
    other.close()


async def test_d18_a_look_makes_nothing_where_the_volume_was(store: DiskStore, tmp_path: Path) -> None:
    root = tmp_path / "store"
    root.rename(tmp_path / "unmounted")
    root.mkdir()
    await store.look()
    assert list(root.iterdir()) == []
    assert (tmp_path / "unmounted" / "running").exists()
