"""What a supervisor keeps, as workers see it."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from regproxy.fleet.key_values import MemoryKeyValues
from regproxy.fleet.memory import NullFleet, SharedFleet
from regproxy.fleet.rpc import SupervisorClient, SupervisorServer
from regproxy.ports import KeyValueStore


@asynccontextmanager
async def worker(kept: MemoryKeyValues | None) -> AsyncIterator[KeyValueStore]:
    ours, theirs = socket.socketpair()
    server = asyncio.create_task(SupervisorServer(SharedFleet(NullFleet()), lambda _: None, kept).serve(ours))
    client = await SupervisorClient.connected(theirs)
    try:
        yield client.key_values
    finally:
        await client.close()
        await server


async def test_n17_05_whichever_worker_is_asked_the_same_is_kept() -> None:
    kept = MemoryKeyValues()
    async with worker(kept) as one, worker(kept) as other:
        assert await one.get("a") is None
        await one.put("a", b"\x00\xff", 100.0, "member")
        assert await other.get("a") == b"\x00\xff"
        assert await one.take("lock", "ticket", 100.0, "member")
        assert not await other.take("lock", "other", 100.0, "member")
        waiting = asyncio.create_task(other.wait("lock", 100.0, "member"))
        assert not await one.wait("lock", 0.01, "member")
        await one.release("lock", "ticket")
        assert await waiting


async def test_n17_05_a_supervisor_that_keeps_nothing_costs_nobody_anything() -> None:
    async with worker(None) as one:
        await one.put("a", b"1", 100.0, "member")
        assert [await one.get("a"), await one.take("a", "ticket", 1.0, "member"), await one.wait("a", 1.0, "member")] == [None, True, True]


@pytest.mark.parametrize("call", [["keep", "a", "%", 1, "b"], ["keep", "a", 1, 1, "b"], ["kept"], ["take", "a"]])
async def test_n17_05_what_is_no_call_gets_an_answer(call: list[object]) -> None:
    ours, theirs = socket.socketpair()
    server = asyncio.create_task(SupervisorServer(SharedFleet(NullFleet()), lambda _: None, MemoryKeyValues()).serve(ours))
    reader, writer = await asyncio.open_unix_connection(sock=theirs)
    writer.write(json.dumps([1, *call]).encode() + b"\n")
    assert json.loads(await reader.readline()) == [1, None]
    writer.close()
    await server
