"""Calls to the disk that fail for the server alone, by row: strace makes them."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from regproxy.storage.blob_files import path_of
from tests.fakes.registry import FakeRegistry
from tests.fakes.served import Served
from tests.fakes.strace import injecting
from tests.rig import LOOPBACK, Rig, get, metric

NAME = "library/app"
BLOB = os.urandom(5_000_000)


def _files(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file()]


@asynccontextmanager
async def _later_failing(root: Path, upstream: FakeRegistry, session: aiohttp.ClientSession, fsync: str) -> AsyncIterator[Served]:
    """Run on a store that was begun while all was well: none is begun that would not survive a power cut."""
    async with Served(root, upstream).running(session):
        pass
    served = Served(root, upstream, *injecting(fsync=fsync))
    async with served.running(session):
        yield served


async def test_d05_what_fsync_refused_is_not_published(upstream: FakeRegistry, tmp_path: Path) -> None:
    """After a failed fsync the kernel may call the pages clean: neither that file nor a second fsync is to be trusted."""
    digest = upstream.add_blob(NAME, BLOB)
    async with aiohttp.ClientSession() as session, _later_failing(tmp_path / "store", upstream, session, "error=EIO") as served:
        for _ in range(2):
            assert await served.pull(session, NAME, f"blobs/{digest}") == BLOB
        assert _files(served.root / "blobs") == []


async def test_d28_a_quota_that_is_used_up_is_a_full_disk(upstream: FakeRegistry, tmp_path: Path) -> None:
    """Where blocks are found only when they are written out, as on NFS, it is fsync that says so (fsync(2), EDQUOT)."""
    digest = upstream.add_blob(NAME, BLOB)
    async with aiohttp.ClientSession() as session, _later_failing(tmp_path / "store", upstream, session, "error=EDQUOT") as served:
        for _ in range(2):
            assert await served.pull(session, NAME, f"blobs/{digest}") == BLOB
        async with asyncio.timeout(300):
            while not metric(await served.metrics(session), "regproxy_store_refusing"):
                pass
        assert _files(served.root / "blobs") == []


async def test_d06_a_sendfile_that_fails_is_made_up_for_by_reading(upstream: FakeRegistry, tmp_path: Path) -> None:
    digest = upstream.add_blob(NAME, BLOB)
    served = Served(tmp_path / "store", upstream, *injecting(sendfile="error=EIO"))
    async with aiohttp.ClientSession() as session, served.running(session):
        for _ in range(3):
            assert await served.pull(session, NAME, f"blobs/{digest}") == BLOB


async def test_d06_an_error_while_serving_ends_by_fin_and_is_healed_by_the_next_ask(
    upstream: FakeRegistry, proxy: Rig, tmp_path: Path
) -> None:
    body = os.urandom(40_000_000)
    digest = upstream.add_blob(NAME, body)
    path = f"/v2/{NAME}/blobs/{digest}?ns=docker.io"
    await proxy.ask(path)
    await proxy.settled()
    reader, writer = await asyncio.open_connection(LOOPBACK, proxy.port, limit=65536)
    writer.write(get(path))
    head = await reader.readuntil(b"\r\n\r\n")
    os.truncate(path_of(tmp_path / "store", digest), 20_000_000)
    received = await reader.read(-1)  # a reset would raise
    writer.close()
    assert b"200 OK" in head
    assert len(received) < len(body)
    assert body.startswith(received)
    assert len(list((tmp_path / "store" / "quarantine").iterdir())) == 1
    assert (await proxy.ask(path)).body == body
