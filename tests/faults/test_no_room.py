"""The disk takes nothing: clients must not notice, operators must, and it ends by itself; by row."""

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from regproxy.oci.digest import Digest
from regproxy.ports import StoreError
from tests.fakes.deeds import Status
from tests.fakes.program import Program
from tests.fakes.registry import FakeRegistry
from tests.fakes.volume import file_limit, tmpfs
from tests.rig import Rig, get, raw, rig

NAME = "library/app"
MIB = 1024 * 1024
LARGE = os.urandom(20 * MIB)
SMALL = os.urandom(MIB)


def _blob(digest: Digest) -> str:
    return f"/v2/{NAME}/blobs/{digest}?ns=docker.io"


def _not_kept(metrics: str) -> float:
    return float(metrics.partition("\nregproxy_not_kept_total ")[2].split()[0])


def _left(volume: Path) -> list[str]:
    return [path.name for path in (volume / "ingest").iterdir()]


def _use_up_inodes(place: Path) -> None:
    for number in range(64):
        (place / str(number)).mkdir()


def _fill(volume: Path, left: int) -> None:
    """Fill a volume up with something else until *left* bytes are free."""
    with (volume / "lost+found").open("wb", buffering=0) as other, suppress(OSError):
        while shutil.disk_usage(volume).free > left:
            other.write(bytes(4096))


@asynccontextmanager
async def _on(volume: Path, upstream: FakeRegistry, **store: object) -> AsyncIterator[Rig]:
    async with rig(volume, {"docker.io": upstream.url}, store={"high_watermark": "85%", **store}) as running:
        yield running


@pytest.fixture
def volume(tmp_path: Path) -> Iterator[Path]:
    """Give a store's root of 8 MiB."""
    with tmpfs(tmp_path / "volume", "size=8m") as place:
        yield place


async def _ready(proxy: Rig) -> tuple[int, str]:
    async with proxy.session.get(f"http://127.0.0.1:{proxy.admin_port}/readyz") as response:
        return response.status, await response.text()


async def test_d02_a_blob_larger_than_the_disk_passes_through(upstream: FakeRegistry, volume: Path) -> None:
    """Other caches: nginx fails such a pull; docker-registry serves it and leaves the disk 100 % full."""
    digest = upstream.add_blob(NAME, LARGE)
    async with _on(volume, upstream) as proxy:
        before = _not_kept(await proxy.metrics())
        for _ in range(2):
            answer = await proxy.ask(_blob(digest))
            assert answer.body == LARGE
            await proxy.settled()
        assert shutil.disk_usage(volume).free > 4 * MIB
        assert _left(volume) == []
        assert _not_kept(await proxy.metrics()) == before + 2
        assert await _ready(proxy) == (200, "ready\n")  # the store is well: what no store could hold is no alarm


async def test_d02_what_a_disk_full_of_other_things_does_not_take_is_an_alarm(upstream: FakeRegistry, volume: Path) -> None:
    digest = upstream.add_blob(NAME, SMALL)
    async with _on(volume, upstream) as proxy:
        (volume / "lost+found").write_bytes(bytes(7 * MIB))
        assert (await proxy.ask(_blob(digest))).body == SMALL
        await proxy.settled()
        assert "regproxy_store_refusing 1.0" in await proxy.metrics()
        status, text = await _ready(proxy)
        assert status == 200
        assert "takes nothing" in text
        assert "of it are used, and store.high_watermark is 85%" in text


async def test_d02_b14_a_disk_that_fills_up_in_the_middle_is_not_the_clients_trouble(upstream: FakeRegistry, volume: Path) -> None:
    """Somebody else fills the volume after our reservation: ENOSPC comes from the write."""
    body = os.urandom(4 * MIB)
    digest = upstream.add_blob(NAME, body)
    async with _on(volume, upstream, high_watermark="100%") as proxy:
        (volume / "lost+found").write_bytes(bytes(6 * MIB))
        answers = await asyncio.gather(*(proxy.ask(_blob(digest)) for _ in range(5)))
        assert {answer.body for answer in answers} == {body}
        await proxy.settled()
        assert _left(volume) == []
        (volume / "lost+found").unlink()
        assert (await proxy.ask(_blob(digest))).body == body
        await proxy.settled()
        assert (await proxy.ask(_blob(digest))).headers["Cache-Status"] == "regproxy; hit"
        assert "regproxy_store_refusing 0.0" in await proxy.metrics()


async def test_d03_manifest_and_index_without_room_are_served_from_upstream(upstream: FakeRegistry, volume: Path) -> None:
    described = upstream.add_image(NAME, "1", [SMALL])
    async with _on(volume, upstream) as proxy:
        with pytest.raises(OSError, match="No space"):
            (volume / "lost+found").write_bytes(bytes(9 * MIB))
        for target in ("1", str(described.digest)):
            answer = await proxy.ask(f"/v2/{NAME}/manifests/{target}?ns=docker.io")
            assert (answer.status, Digest.of(answer.body)) == (200, described.digest)
        assert (await proxy.ask(_blob(Digest.of(SMALL)))).body == SMALL
        await proxy.settled()
        assert [path for path in (volume / "blobs").rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(("left", "mark"), [(MIB, "85%"), (0, "100%")], ids=["the store takes nothing", "no free block"])
async def test_d32_a_tag_that_no_disk_keeps_is_asked_for_once(upstream: FakeRegistry, volume: Path, left: int, mark: str) -> None:
    """Registries count pulls by the manifests that they give; a full disk in a mass restart would use them all up."""
    described = upstream.add_image(NAME, "1", [SMALL])
    async with _on(volume, upstream, high_watermark=mark) as proxy:
        _fill(volume, left)
        for _ in range(5):
            for target in ("1", str(described.digest)):
                for method in ("HEAD", "GET"):
                    answer = await proxy.ask(f"/v2/{NAME}/manifests/{target}?ns=docker.io", method)
                    assert (answer.status, answer.headers["Docker-Content-Digest"]) == (200, str(described.digest))
            assert Digest.of((await proxy.ask(f"/v2/{NAME}/manifests/1?ns=docker.io")).body) == described.digest
        asked = [entry.method for entry in upstream.ledger if "/manifests/" in entry.path]
        assert asked in (["GET"], ["GET", "HEAD"])  # whether it may still be read, which is no pull


async def test_d32_what_no_disk_keeps_is_not_served_after_a_refusal(upstream: FakeRegistry, volume: Path) -> None:
    upstream.add_image(NAME, "1", [SMALL])
    async with _on(volume, upstream, high_watermark="100%") as proxy:
        _fill(volume, 0)
        for _ in range(2):
            assert (await proxy.ask(f"/v2/{NAME}/manifests/1?ns=docker.io")).status == 200
        upstream.misbehave(lambda entry: NAME in entry.path, Status(403))
        for tag in ("2", "1"):
            assert (await proxy.ask(f"/v2/{NAME}/manifests/{tag}?ns=docker.io")).status == 403


async def test_d03_a_start_on_a_disk_without_a_free_block_loses_nothing(upstream: FakeRegistry, volume: Path) -> None:
    """It is refused in words. To take it for a damaged index would lose all that is known, at the worst moment."""
    digest = upstream.add_blob(NAME, SMALL)
    async with _on(volume, upstream) as proxy:
        await proxy.ask(_blob(digest))
        await proxy.settled()
    with pytest.raises(OSError, match="No space"):
        (volume / "lost+found").write_bytes(bytes(9 * MIB))
    with pytest.raises(StoreError, match="cannot be used"):
        async with _on(volume, upstream):
            pass
    (volume / "lost+found").unlink()
    async with _on(volume, upstream) as proxy:
        assert (await proxy.ask(_blob(digest))).headers["Cache-Status"] == "regproxy; hit"


async def test_d02_a_worker_that_can_keep_nothing_is_told_of_by_the_program(upstream: FakeRegistry, volume: Path, tmp_path: Path) -> None:
    digest = upstream.add_blob(NAME, SMALL)
    program = Program(tmp_path, {"docker.io": {"hosts": [{"url": upstream.url}]}}, store={"root": str(volume)})
    async with program.running():
        (volume / "lost+found").write_bytes(bytes(7 * MIB))
        assert await program.ask(_blob(digest)) == (200, SMALL)

        async def is_told() -> bool:
            status, text = await program.admin("/readyz")
            return status == 200 and "takes nothing" in text

        await program.until(is_told)


@pytest.mark.parametrize("log", ["/dev/full", ">(:)"], ids=["a full disk", "a closed pipe"])
async def test_d03_a_log_that_cannot_be_written_fails_no_pull(upstream: FakeRegistry, tmp_path: Path, log: str) -> None:
    """Nor does it end a worker, or make an end in order look like a failure."""
    upstream.add_image(NAME, "1", [SMALL])
    program = Program(tmp_path, {"docker.io": {"hosts": [{"url": upstream.url}]}})
    async with program.running("bash", "-c", f'exec "$@" > {log} 2>&1', "bash"):
        workers = program.workers()
        for _ in range(20):
            assert (await program.ask(f"/v2/{NAME}/manifests/1?ns=docker.io"))[0] == 200
            assert await program.ask(_blob(Digest.of(SMALL))) == (200, SMALL)
            assert (await program.ask(f"/v2/{NAME}/manifests/2?ns=docker.io"))[0] == 404
        assert program.workers() == workers
        program.tell(signal.SIGTERM)
        assert await program.ended() == 0


@pytest.fixture
def unread(tmp_path: Path) -> Iterator[Path]:
    """Make a pipe that is full, and that nobody reads."""
    path = tmp_path / "unread"
    os.mkfifo(path)
    end = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    with suppress(BlockingIOError):
        while True:
            os.write(end, bytes(4096))
    yield path
    os.close(end)


@pytest.mark.parametrize("log", ["/dev/full", ">(:)", "unread", "&-"], ids=["a full disk", "a closed pipe", "a full pipe", "closed"])
async def test_n13_01_an_orderly_stop_exits_0_whatever_the_log_is(upstream: FakeRegistry, tmp_path: Path, unread: Path, log: str) -> None:
    """What Python could not flush at its end would make it 120."""
    program = Program(tmp_path, {"docker.io": {"hosts": [{"url": upstream.url}]}})
    place = str(unread) if log == "unread" else log
    async with program.running("bash", "-c", f'exec "$@" > {place} 2> {place}' if log != "&-" else 'exec "$@" >&- 2>&-', "bash"):
        assert (await program.ask(f"/v2/{NAME}/manifests/2?ns=docker.io"))[0] == 404
        program.tell(signal.SIGTERM)
        assert await program.ended() == 0


async def test_d04_a_disk_without_inodes_is_a_full_one(upstream: FakeRegistry, tmp_path: Path) -> None:
    digest = upstream.add_blob(NAME, SMALL)
    with tmpfs(tmp_path / "volume", "size=8m,nr_inodes=24") as volume:
        async with _on(volume, upstream) as proxy:
            with pytest.raises(OSError, match="No space"):
                _use_up_inodes(volume / "quarantine")
            assert (await proxy.ask(_blob(digest))).body == SMALL
            await proxy.settled()
            shutil.rmtree(volume / "quarantine")
            assert (await proxy.ask(_blob(digest))).body == SMALL
            await proxy.settled()
            assert (await proxy.ask(_blob(digest))).headers["Cache-Status"] == "regproxy; hit"


async def test_d17_a_disk_that_became_read_only_serves_hits_and_passes_the_rest(upstream: FakeRegistry, proxy: Rig, tmp_path: Path) -> None:
    kept, other = upstream.add_blob(NAME, SMALL), upstream.add_blob(NAME, LARGE)
    await proxy.ask(_blob(kept))
    await proxy.settled()
    with tmpfs(tmp_path / "store" / "ingest", "ro"):
        assert (await proxy.ask(_blob(kept))).headers["Cache-Status"] == "regproxy; hit"
        assert (await proxy.ask(_blob(other))).body == LARGE
        assert "Read-only" in (await _ready(proxy))[1]
    assert (await proxy.ask(_blob(other))).body == LARGE
    await proxy.settled()
    assert (await _ready(proxy))[1] == "ready\n"


async def test_d18_a_volume_that_is_gone_is_not_written_beside(upstream: FakeRegistry, proxy: Rig, tmp_path: Path) -> None:
    """What lies under a mount point is the root's file system, and not ours to fill."""
    digest = upstream.add_blob(NAME, SMALL)
    root = tmp_path / "store"
    root.rename(tmp_path / "unmounted")
    root.mkdir()
    assert (await proxy.ask(_blob(digest))).body == SMALL
    await proxy.settled()
    assert list(root.iterdir()) == []
    assert (await _ready(proxy))[0] == 503
    root.rmdir()
    (tmp_path / "unmounted").rename(root)
    assert (await proxy.ask(_blob(digest))).body == SMALL
    await proxy.settled()
    assert (await proxy.ask(_blob(digest))).headers["Cache-Status"] == "regproxy; hit"


async def test_d28_a_limit_on_file_sizes_is_a_full_disk(upstream: FakeRegistry, proxy: Rig) -> None:
    digest = upstream.add_blob(NAME, LARGE)
    with file_limit(17 * MIB):
        assert (await proxy.ask(_blob(digest))).body == LARGE
        await proxy.settled()


async def test_d29_a_blob_larger_than_the_store_passes_through(upstream: FakeRegistry, tmp_path: Path) -> None:
    kept, other = upstream.add_blob(NAME, SMALL), upstream.add_blob(NAME, LARGE)
    async with _on(tmp_path / "store", upstream, max_size="8MiB", high_watermark="100%") as proxy:
        await proxy.ask(_blob(kept))
        await proxy.settled()
        assert (await proxy.ask(_blob(other))).body == LARGE
        assert (await proxy.ask(_blob(kept))).headers["Cache-Status"] == "regproxy; hit", "nothing went for what cannot fit anyway"


async def test_a_client_that_leaves_what_is_not_kept_ends_the_download(upstream: FakeRegistry, volume: Path) -> None:
    """A fill outlives its request so that it is kept; what cannot be kept would be fetched for nobody."""
    body = os.urandom(40 * MIB)
    digest = upstream.add_blob(NAME, body)
    async with _on(volume, upstream) as proxy:
        await raw(proxy.port, get(_blob(digest)), read=MIB)
        await proxy.settled()
        assert upstream.ledger[-1].sent < len(body)


async def test_readers_of_different_speed_all_get_every_byte(upstream: FakeRegistry, volume: Path) -> None:
    digest = upstream.add_blob(NAME, LARGE)

    async def slowly(proxy: Rig) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port, limit=65536)
        writer.write(get(_blob(digest)))
        body = bytearray()
        while chunk := await reader.read(65536):
            body += chunk
            await asyncio.sleep(0)
        writer.close()
        return bytes(body).partition(b"\r\n\r\n")[2]

    async with _on(volume, upstream) as proxy:
        slow, fast = await asyncio.gather(slowly(proxy), asyncio.gather(*(proxy.ask(_blob(digest)) for _ in range(4))))
        assert slow == LARGE
        assert {answer.body for answer in fast} == {LARGE}


def _remove(place: Path) -> None:
    shutil.rmtree(place)


def _rename(place: Path) -> None:
    place.rename(place.with_name("lost+found"))


@pytest.mark.parametrize("deny", [_remove, _rename])
async def test_b15_the_disks_errors_do_not_reach_the_client(
    upstream: FakeRegistry, proxy: Rig, tmp_path: Path, deny: Callable[[Path], None]
) -> None:
    digest = upstream.add_blob(NAME, SMALL)
    deny(tmp_path / "store" / "ingest")
    answer = await proxy.ask(_blob(digest))
    assert (answer.status, answer.body) == (200, SMALL)
