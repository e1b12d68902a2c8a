"""Calls to the disk that fail for the server alone, by row: strace makes them."""

import asyncio
import os
import shutil
from pathlib import Path

import aiohttp
import pytest

from regproxy.storage.ingest import path_of
from tests.fakes.registry import FakeRegistry
from tests.fakes.served import Served
from tests.rig import LOOPBACK, Rig, get

NAME = "library/app"
BLOB = os.urandom(5_000_000)


def _failing(call: str, error: str) -> tuple[str, ...]:
    """Write the command under which *call* fails; `-D`: it is the server that is our child, and not strace."""
    if shutil.which("strace") is None:
        (pytest.fail if os.environ.get("REGPROXY_REQUIRE_CLIENTS") == "1" else pytest.skip)("strace is not installed")
    return ("strace", "-D", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", f"inject={call}:error={error}")


async def test_d05_what_fsync_refused_is_not_published(upstream: FakeRegistry, tmp_path: Path) -> None:
    """After a failed fsync the kernel may call the pages clean: neither that file nor a second fsync is to be trusted."""
    digest = upstream.add_blob(NAME, BLOB)
    served = Served(tmp_path / "store", upstream, *_failing("fsync", "EIO"))
    async with aiohttp.ClientSession() as session, served.running(session):
        for _ in range(2):
            assert await served.pull(session, NAME, f"blobs/{digest}") == BLOB
        assert [path for path in (served.root / "blobs").rglob("*") if path.is_file()] == []


async def test_d06_a_sendfile_that_fails_is_made_up_for_by_reading(upstream: FakeRegistry, tmp_path: Path) -> None:
    digest = upstream.add_blob(NAME, BLOB)
    served = Served(tmp_path / "store", upstream, *_failing("sendfile", "EIO"))
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
