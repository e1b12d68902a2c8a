"""What a process left half written, and what another is writing."""

import asyncio
import os
import socket
import threading
from pathlib import Path

import pytest

from regproxy.oci.digest import Digest
from regproxy.oci.reference import Repository
from regproxy.policy.store.quota import Limits, on_disk
from regproxy.ports import Extent, Full, Gone, IngestStage, Resumable, StoreError
from regproxy.storage import partial_file
from regproxy.storage.disk import DiskStore
from tests.fakes.volume import file_limit
from tests.storage.stored import BODY, DIGEST, path

APP = Repository("docker.io", "library/app")


def _read(extent: Extent) -> bytes:
    return os.pread(extent.file.fileno(), extent.length, extent.offset)


async def test_a_file_that_somebody_writes_is_nobody_elses(store: DiskStore) -> None:
    alive = await store.ingest(DIGEST, len(BODY))
    await alive.write([BODY])
    with pytest.raises(Gone, match="is gone"):
        await store.ingest(DIGEST, len(BODY), Resumable(4))
    await alive.discard()
    alive.close()


async def test_who_brings_the_same_content_at_once_gets_in_nobodys_way(store: DiskStore, tmp_path: Path) -> None:
    """Fills of several repositories do: each removes what others have left unfinished, which they may just be renaming."""
    for number in range(40):
        body = b"layer %d" % number
        digest = Digest.of(body)
        await asyncio.gather(*(store.write(digest, body) for _ in range(8)))
        assert path(tmp_path, digest).read_bytes() == body
    assert list((tmp_path / "store" / "ingest").iterdir()) == []
    assert store.trouble is None


async def test_n12_02_what_is_being_written_is_not_resumed(store: DiskStore, tmp_path: Path) -> None:
    """Another upstream's fill of the same digest would have its bytes asked for a second time, in vain."""
    other = DiskStore(tmp_path / "store")
    await other.join()
    ingest = await store.ingest(DIGEST, len(BODY))
    await ingest.write([BODY[:1000]])
    assert await other.resumable(DIGEST) == Resumable()
    ingest.leave()
    await ingest.discard()
    ingest.close()
    assert await other.resumable(DIGEST) == Resumable(999)
    other.close()


def _writes(store: DiskStore) -> int:
    """Tell what the store counts beside stored content."""
    return store.quota.held + store.quota.promised


async def test_n19_06_what_is_written_ahead_of_its_turn_is_read_at_once_and_hashed_in_order(store: DiskStore, tmp_path: Path) -> None:
    ingest = await store.ingest(DIGEST, len(BODY))
    assert ingest.can_scatter
    await ingest.write([BODY[:100]])
    await ingest.scatter(500, [BODY[500:600], BODY[600:700]])
    assert (ingest.written, ingest.reach(0), ingest.reach(500), ingest.reach(450)) == (100, 100, 700, 450)
    assert _read(ingest.extent(550, 10_000)) == BODY[550:700]
    with pytest.raises(StoreError, match="hashed before"):
        await ingest.scatter(50, [b"x"])
    await ingest.write([BODY[100:500]])
    assert await ingest.read(500, 700) == BODY[500:700]
    await ingest.write([await ingest.read(500, 700), BODY[700:]])
    await ingest.commit()
    await ingest.discard()
    ingest.close()
    assert path(tmp_path, DIGEST).read_bytes() == BODY
    assert list((tmp_path / "store" / "ingest").iterdir()) == []
    assert _writes(store) == on_disk(len(BODY))


async def test_n19_06_what_was_written_ahead_of_its_turn_is_resumed(store: DiskStore, tmp_path: Path) -> None:
    other = DiskStore(tmp_path / "store")
    await other.join()
    ingest = await store.ingest(DIGEST, len(BODY))
    await ingest.scatter(500, [BODY[500:700]])
    await ingest.write([BODY[:100]])
    ingest.leave()
    await ingest.discard()
    ingest.close()
    resumed = await other.resumable(DIGEST)
    assert resumed == Resumable(99, ((500, 700),))
    for size in (len(BODY) + 1, None):
        with pytest.raises(Gone):
            await other.ingest(DIGEST, size, resumed)
    again = await other.ingest(DIGEST, len(BODY), resumed)
    assert (again.written, again.reach(99), again.reach(500)) == (99, 99, 700)
    await again.write([BODY[99:500], await again.read(500, 700), BODY[700:]])
    await again.commit()
    again.close()
    assert path(tmp_path, DIGEST).read_bytes() == BODY
    assert _writes(other) == on_disk(len(BODY))
    other.close()


async def test_n19_06_only_what_is_ahead_is_resumed(store: DiskStore) -> None:
    ingest = await store.ingest(DIGEST, len(BODY))
    await ingest.scatter(len(BODY) - 10, [BODY[-10:]])
    ingest.leave()
    await ingest.discard()
    ingest.close()
    resumed = await store.resumable(DIGEST)
    assert resumed == Resumable(0, ((len(BODY) - 10, len(BODY)),))
    again = await store.ingest(DIGEST, len(BODY), resumed)
    assert again.reach(len(BODY) - 10) == len(BODY)
    await again.discard()
    again.close()


async def test_what_was_begun_without_a_size_is_gone_on_with_by_the_one_that_is_known_now(store: DiskStore) -> None:
    """Else its holes would count as written, and as space, for whoever takes it over next."""
    ingest = await store.ingest(DIGEST, None)
    await ingest.write([BODY[:1000]])
    ingest.leave()
    await ingest.discard()
    ingest.close()
    ingest = await store.ingest(DIGEST, len(BODY), Resumable(999))
    await ingest.scatter(len(BODY) - 100, [BODY[-100:]])
    ingest.leave()
    await ingest.discard()
    ingest.close()
    assert await store.resumable(DIGEST) == Resumable(998, ((len(BODY) - 100, len(BODY)),))


async def test_a_record_that_is_late_is_no_part_of_the_blob(store: DiskStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes ahead of their turn are read as soon as they are written, so all may be hashed and right before their record is written."""
    growing = partial_file.PartialFile(tmp_path / "store", DIGEST, len(BODY), await store.quota.reserve(len(BODY)))
    growing.scatter()
    synced, really, commits = threading.Event(), os.pwrite, []

    def late(descriptor: int, data: bytes, offset: int) -> int:
        if offset >= len(BODY):
            commits.append(threading.Thread(target=growing.commit))
            commits[0].start()
            synced.wait(0.5)
        return really(descriptor, data, offset)

    monkeypatch.setattr(os, "pwrite", late)
    monkeypatch.setattr(os, "fsync", lambda _: synced.set())
    growing.write(memoryview(BODY), 0)
    commits[0].join()
    growing.file.close()
    growing.reservation.stop()
    assert path(tmp_path, DIGEST).read_bytes() == BODY


async def test_n19_06_after_a_power_cut_nothing_that_lay_ahead_is_believed(store: DiskStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a file with holes nobody knows which of its bytes had reached the disk."""
    ingest = await store.ingest(DIGEST, len(BODY))
    await ingest.write([BODY[:400]])
    await ingest.scatter(500, [BODY[500:700]])
    ingest.leave()
    await ingest.discard()
    ingest.close()
    monkeypatch.setattr(partial_file, "_boot", lambda: b"another boot !!!")
    assert await store.resumable(DIGEST) == Resumable()


async def test_n19_06_a_file_with_holes_counts_as_what_it_takes(store: DiskStore, tmp_path: Path) -> None:
    size = 100 * 1024 * 1024
    ingest = await store.ingest(DIGEST, size)
    await ingest.scatter(size // 2, [bytes(8192)])
    assert store.quota.held == 8192
    ingest.leave()
    await ingest.discard()
    ingest.close()
    (left,) = (tmp_path / "store" / "ingest").iterdir()
    await store.remove_abandoned(0)
    size = left.stat().st_blocks * 512
    assert store.quota.usage.abandoned == size < 100_000
    assert await store.remove_abandoned(1) == size


async def test_n19_06_another_process_sees_what_came_ahead_of_its_turn(store: DiskStore, tmp_path: Path) -> None:
    other = DiskStore(tmp_path / "store")
    await other.join()
    assert await store.acquire(DIGEST, APP) is None
    watched = await other.acquire(DIGEST, APP)
    assert watched is not None
    ingest = await store.ingest(DIGEST, len(BODY), locked_for=APP.registry)
    await watched.status()
    assert watched.want_part(500, 700)
    assert list(store.wanted_parts(DIGEST, APP.registry)) == [(500, 700)]
    assert list(store.wanted_parts(DIGEST, APP.registry)) == []
    assert not store.is_wanted(DIGEST, APP.registry), "nobody waits for what comes in order"
    await ingest.write([BODY[:100]])
    await ingest.scatter(500, [BODY[500:700]])
    status = await watched.status()
    assert status is not None
    assert (status.written, status.parts) == (100, ((0, 100), (500, 700)))
    assert watched.incoming is not None
    assert (watched.incoming.reach(0), watched.incoming.reach(500), watched.incoming.reach(450)) == (100, 700, 450)
    assert _read(watched.incoming.extent(500, 700)) == BODY[500:700]
    await ingest.write([BODY[100:500], await ingest.read(500, 700), BODY[700:]])
    await ingest.commit()
    status = await watched.status()
    assert status is not None
    assert (status.stage, status.written) == (IngestStage.KEPT, len(BODY))
    watched.incoming.close()
    watched.close()
    ingest.close()
    other.close()


async def test_n19_06_what_has_no_room_ahead_of_its_turn_is_refused(tmp_path: Path) -> None:
    store = DiskStore(tmp_path / "store", Limits(max_size=100_000))
    await store.prepare()
    unsized, large = await store.ingest(DIGEST, None), await store.ingest(DIGEST, 200_000)
    assert not unsized.can_scatter
    assert not large.can_scatter
    with pytest.raises(Full):
        await large.scatter(500, [b"x"])
    for each in (unsized, large):
        await each.discard()
        each.close()
    store.close()


async def test_d02_what_cannot_be_recorded_is_not_written_ahead_of_its_turn(store: DiskStore) -> None:
    """Several write there at once; another process would take all that is before it for written, and send zeros."""
    ingest = await store.ingest(DIGEST, len(BODY))
    await ingest.write([BODY[:100]])
    growing = ingest._growing
    assert growing is not None
    with file_limit(len(BODY)):
        for _ in range(2):
            with pytest.raises(OSError, match="File too large"):
                growing.scatter()
        scattered = (ingest.scatter(at, [BODY[at : at + 50]]) for at in (200, 500, 700))
        refused = await asyncio.gather(*scattered, return_exceptions=True)
    assert all(isinstance(each, StoreError) for each in refused)
    found = partial_file.written(growing.file.fileno(), len(BODY))
    assert found is not None
    assert list(found.runs) == [(0, 100)]
    await ingest.discard()
    ingest.close()


async def test_p03_what_was_sent_of_a_file_stays_right_when_another_process_goes_on_with_it(store: DiskStore) -> None:
    """A socket holds the pages of the file until its client has read them."""
    ingest = await store.ingest(DIGEST, len(BODY))
    await ingest.write([BODY[:700]])
    extent = ingest.extent(0, 700)
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        serving, _ = server.accept()
        with serving:
            assert os.sendfile(serving.fileno(), extent.file.fileno(), 0, 700) == 700
            ingest.leave()
            await ingest.discard()
            ingest.close()
            again = await store.ingest(DIGEST, len(BODY), await store.resumable(DIGEST))
            assert client.recv(1000, socket.MSG_WAITALL | socket.MSG_DONTWAIT) == BODY[:700]
    await again.write([BODY[699:]])
    await again.commit()
    again.close()
    assert await store.read(DIGEST, len(BODY)) == BODY


async def test_p03_what_was_left_and_is_more_than_there_is_is_cut_at_the_end(store: DiskStore) -> None:
    """Whoever sent it may have sent too much."""
    ingest = await store.ingest(DIGEST, None)
    await ingest.write([BODY + b"more"])
    ingest.leave()
    await ingest.discard()
    ingest.close()
    again = await store.ingest(DIGEST, None, Resumable(len(BODY) - 1))
    await again.write([BODY[-1:]])
    await again.commit()
    again.close()
    assert await store.read(DIGEST, len(BODY)) == BODY
