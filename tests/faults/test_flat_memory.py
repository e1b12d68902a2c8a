"""Rows P10, U36: however large a blob is, and whoever is slow with it, it takes no more memory than a small one."""

import asyncio
import os
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path

import pytest

from regproxy.oci.digest import Digest
from tests.fakes.deeds import Flood, Paced
from tests.fakes.registry import FakeRegistry
from tests.free_port import free_port
from tests.rig import get, raw
from tests.serving import most_memory, serving

NAME = "library/app"
MIB = 1024 * 1024
FLOOD = 512 * MIB
LARGE = 96 * MIB
WARM = 24  # connections, so that each worker has had some
SLOW = 8_000_000  # bytes per second
MARGIN = 96 * MIB  # 16 in the window, 4 on their way to the disk, what allocators keep in three processes; a fifth of the blob


@pytest.fixture
async def port(upstream: FakeRegistry, tmp_path: Path) -> AsyncIterator[int]:
    """Serve, and see in the end that memory did not grow by more than the margin."""
    port = free_port()
    program = await serving(tmp_path, upstream.url, port)
    try:
        warm = upstream.add_blob(NAME, os.urandom(MIB))
        upstream.misbehave(str(warm), Paced(SLOW))  # or the host would be known for a fast one, which gets one connection
        for _ in range(WARM):
            assert len((await raw(port, get(_path(warm)))).body) == MIB
        before = most_memory(program)
        yield port
        assert most_memory(program) - before < MARGIN
    finally:
        program.terminate()
        await program.wait()


def _path(digest: object) -> str:
    return f"/v2/{NAME}/blobs/{digest}?ns=docker.io"


def _flood(upstream: FakeRegistry) -> Digest:
    """Hold a large blob of zeros without holding it."""
    found = sha256()
    for _ in range(FLOOD // MIB):
        found.update(bytes(MIB))
    digest = Digest("sha256", found.hexdigest())
    upstream.repositories[NAME].blobs[digest] = b""
    upstream.misbehave(str(digest), Flood(FLOOD))
    return digest


async def test_u36_upstream_is_faster_than_the_disk(upstream: FakeRegistry, port: int) -> None:
    answer = await raw(port, get(_path(await asyncio.to_thread(_flood, upstream))))
    assert len(answer.body) == FLOOD


async def test_u36_a_client_is_slower_than_upstream(upstream: FakeRegistry, port: int) -> None:
    """One reads a little and then nothing, while others get all of it."""
    path = _path(await asyncio.to_thread(_flood, upstream))
    slow = await asyncio.open_connection("127.0.0.1", port)
    slow[1].write(get(path))
    await slow[0].readexactly(1000)
    assert len((await raw(port, get(path))).body) == FLOOD
    slow[1].close()


async def test_p10_hundreds_of_clients_are_sent_it_at_once(upstream: FakeRegistry, port: int) -> None:
    """They read a part and wait, while one reads all of it."""
    path = _path(await asyncio.to_thread(_flood, upstream))
    clients = [await asyncio.open_connection("127.0.0.1", port) for _ in range(500)]
    for _, writer in clients:
        writer.write(get(path))
    await asyncio.gather(*(reader.readexactly(MIB // 4) for reader, _ in clients))
    assert len((await raw(port, get(path))).body) == FLOOD
    for _, writer in clients:
        writer.transport.abort()


async def test_u36_upstream_is_slow_and_asked_over_many_connections(upstream: FakeRegistry, port: int) -> None:
    body = os.urandom(LARGE)
    digest = upstream.add_blob(NAME, body)
    upstream.misbehave(str(digest), Paced(SLOW))
    assert (await raw(port, get(_path(digest)))).body == body
    assert upstream.count("GET", "blobs", str(digest)) > 12
