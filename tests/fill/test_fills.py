"""One blob on one machine: whoever asks which process, one of them fetches it, and all can read along."""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
import yaml

from regproxy.config import Settings, load
from regproxy.fill.fills import Fills
from regproxy.fleet.memory import NullFleet
from regproxy.index.sqlite import SqliteIndex
from regproxy.oci.digest import Digest
from regproxy.oci.reference import Repository
from regproxy.policy.store.quota import Limits
from regproxy.ports import Content, NotFound, Refused, UpstreamError
from regproxy.storage.disk import DiskStore
from regproxy.upstream.registry import UpstreamRegistry
from tests.fakes.deeds import Stall, Status
from tests.fakes.entry import on
from tests.fakes.registry import FakeRegistry
from tests.fakes.volume import tmpfs

MIB = 1024 * 1024
BLOB = os.urandom(4 * MIB)  # what comes with the first request
APP = Repository("docker.io", "library/app")
OTHER = Repository("docker.io", "library/other")


class Process:
    """What a worker has of its own."""

    def __init__(self, settings: Settings, store: DiskStore, index: SqliteIndex) -> None:
        self.store = store
        self.registries = {each.name: UpstreamRegistry(each, settings.timeouts, NullFleet()) for each in settings.upstreams}
        self.fills = Fills(self.registries, store, index, settings.downloads)

    async def pull(self, digest: Digest, repository: Repository = APP) -> bytes:
        """Read a blob to its end."""
        content = self.fills.join(repository, digest)
        try:
            await content.started()
            return await read(content, 0, content.size)
        finally:
            content.release()


async def read(content: Content, start: int, stop: int) -> bytes:
    """Read a part of a blob."""
    body = bytearray()
    while start + len(body) < stop:
        body += await some(content, start + len(body))
    return bytes(body)


async def some(content: Content, start: int) -> bytes:
    """Read what is there by now."""
    extent = await content.extent(start, content.size)
    return os.pread(extent.file.fileno(), extent.length, extent.offset)


@asynccontextmanager
async def processes(
    root: Path,
    upstream: FakeRegistry,
    count: int = 2,
    limits: Limits = Limits(),  # noqa: B008
    quay: FakeRegistry | None = None,
) -> AsyncIterator[list[Process]]:
    """Several of them, as far as the kernel can tell: its locks are by open file."""
    path = root.with_suffix(".yaml")
    hosts = {"docker.io": upstream.url} | ({} if quay is None else {"quay.io": quay.url})
    upstreams = {name: {"hosts": [{"url": url}]} for name, url in hosts.items()}
    path.write_text(yaml.safe_dump({"store": {"root": str(root)}, "upstreams": upstreams}))
    settings = load(path, {})
    async with AsyncExitStack() as stack:
        found = []
        for number in range(count):
            store = DiskStore(root, limits)
            await (store.join() if number else store.prepare())
            stack.callback(store.close)
            index = await SqliteIndex.open(root / "index.db", time.time)
            stack.push_async_callback(index.close)
            process = Process(settings, store, index)
            for registry in process.registries.values():
                stack.push_async_callback(registry.close)
            stack.push_async_callback(process.fills.drain, 5)
            found.append(process)
        yield found


async def halfway(upstream: FakeRegistry, process: Process, sent: int = 3 * MIB) -> tuple[Digest, Stall, asyncio.Task[bytes]]:
    """Have a process pull the blob from an upstream that stands still once so many bytes are *sent*."""
    digest = upstream.add_blob("library/app", BLOB)
    stall = Stall(sent)
    upstream.misbehave(on("GET", "/blobs/"), stall, times=1)
    pulling = asyncio.create_task(process.pull(digest))
    await stall.reached.wait()
    return digest, stall, pulling


def fill_up(volume: Path) -> None:
    with contextlib.suppress(OSError), (volume / "ballast").open("wb", buffering=0) as ballast:
        while True:
            ballast.write(bytes(64 * 1024))


async def test_a_blob_is_fetched_once_for_all_processes(tmp_path: Path) -> None:
    async with FakeRegistry() as upstream, processes(tmp_path / "store", upstream, count=4) as all_of_them:
        digest = upstream.add_blob("library/app", BLOB)
        bodies = await asyncio.gather(*(process.pull(digest) for process in all_of_them for _ in range(3)))
        assert [body == BLOB for body in bodies] == [True] * 12
        assert upstream.sent_blob_bytes() == len(BLOB)


async def test_others_read_what_is_there_while_more_is_on_its_way(tmp_path: Path) -> None:
    async with FakeRegistry() as upstream, processes(tmp_path / "store", upstream) as (one, other):
        digest, stall, pulling = await halfway(upstream, one)
        content = other.fills.join(APP, digest)
        await content.started()
        begin = await some(content, 0)
        assert BLOB.startswith(begin)
        assert not pulling.done()
        stall.event.set()
        assert begin + await read(content, len(begin), len(BLOB)) == BLOB
        content.release()
        assert await pulling == BLOB
        assert upstream.sent_blob_bytes() == len(BLOB)


async def test_who_was_given_up_on_is_succeeded_where_it_stood(tmp_path: Path) -> None:
    """A worker that ends leaves its lock to the kernel and its file to whoever reads along; those notice nothing."""
    async with FakeRegistry() as upstream, processes(tmp_path / "store", upstream) as (one, other):
        digest = upstream.add_blob("library/app", BLOB)
        upstream.misbehave(on("GET", "/blobs/"), Stall(3 * MIB), times=1)
        one.fills.begin(APP, digest)
        await upstream.seen(on("GET", "/blobs/"))
        content = other.fills.join(APP, digest)
        await content.started()
        begin = await some(content, 0)
        await one.fills.drain(0)
        assert begin + await read(content, len(begin), len(BLOB)) == BLOB
        content.release()
        assert upstream.sent_blob_bytes() <= len(BLOB) * 1.1


@pytest.mark.parametrize(("status", "error"), [(404, NotFound), (403, Refused)], ids=["missing", "refused"])
async def test_what_goes_wrong_is_asked_once_and_told_to_all(tmp_path: Path, status: int, error: type[UpstreamError]) -> None:
    async with FakeRegistry() as upstream, processes(tmp_path / "store", upstream) as (one, other):
        digest = upstream.add_blob("library/app", BLOB)
        upstream.misbehave(on("GET", "/blobs/"), Status(status))
        answers = await asyncio.gather(one.pull(digest), other.pull(digest), return_exceptions=True)
        assert [type(answer) for answer in answers] == [error, error]


async def test_another_repository_reads_along_only_if_upstream_lets_it(tmp_path: Path) -> None:
    async with FakeRegistry() as upstream, processes(tmp_path / "store", upstream) as (one, other):
        digest, stall, pulling = await halfway(upstream, one)
        with pytest.raises(NotFound):
            await other.pull(digest, OTHER)
        stall.event.set()
        assert await pulling == BLOB
        with pytest.raises(NotFound):
            await other.pull(digest, OTHER)
        upstream.add_blob("library/other", BLOB)
        assert await other.pull(digest, OTHER) == BLOB
        assert upstream.sent_blob_bytes() == len(BLOB)


async def test_n12_02_an_upstream_that_stalls_keeps_no_fill_of_another_from_being_shared(tmp_path: Path) -> None:
    """Whoever asks a slow or refusing upstream for a digest would otherwise make each worker fetch it for itself."""
    async with (
        FakeRegistry() as upstream,
        FakeRegistry() as quay,
        processes(tmp_path / "store", upstream, count=3, quay=quay) as (stalled, *others),
    ):
        digest, stall, pulling = await halfway(upstream, stalled)
        quay.add_blob("library/app", BLOB)
        of_quay = Repository("quay.io", "library/app")
        assert [body == BLOB for body in await asyncio.gather(*(each.pull(digest, of_quay) for each in others))] == [True, True]
        assert quay.sent_blob_bytes() == len(BLOB)
        stall.event.set()
        assert await pulling == BLOB


async def test_what_the_store_does_not_take_everyone_fetches_for_himself(tmp_path: Path) -> None:
    async with FakeRegistry() as upstream, processes(tmp_path / "store", upstream, limits=Limits(max_size=MIB)) as (one, other):
        digest = upstream.add_blob("library/app", BLOB)
        assert [body == BLOB for body in await asyncio.gather(one.pull(digest), other.pull(digest))] == [True, True]


async def test_who_reads_along_when_the_disk_is_full_gets_the_rest(tmp_path: Path) -> None:
    """Others fill it too. From there on each process passes on what it fetches itself; the beginning is verified with the rest."""
    with tmpfs(tmp_path / "volume", "size=32m") as volume:
        async with FakeRegistry() as upstream, processes(volume, upstream) as (one, other):
            digest, stall, pulling = await halfway(upstream, one, 2 * MIB)
            content = other.fills.join(APP, digest)
            await content.started()
            begin = await some(content, 0)
            fill_up(volume)
            stall.event.set()
            assert begin + await read(content, len(begin), len(BLOB)) == BLOB
            content.release()
            assert await pulling == BLOB
            assert upstream.sent_blob_bytes() <= 2 * len(BLOB)


async def test_what_another_process_brought_meanwhile_is_not_fetched_again(tmp_path: Path) -> None:
    """Between looking into the store and taking the lock, another process may have come to the end of it."""
    async with FakeRegistry() as upstream, processes(tmp_path / "store", upstream) as (one, other):
        digest = upstream.add_blob("library/app", BLOB)
        assert await one.pull(digest) == BLOB
        await one.fills.idle()
        assert await other.pull(digest) == BLOB
        assert upstream.sent_blob_bytes() == len(BLOB)
