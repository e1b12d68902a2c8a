"""Workers and their supervisor, over real sockets."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from regproxy.fleet.memory import NullFleet, SharedFleet
from regproxy.fleet.rpc import SupervisorClient, SupervisorServer
from regproxy.oci.descriptor import Descriptor
from regproxy.oci.digest import Digest
from regproxy.oci.reference import Reference, Repository, Tag
from regproxy.policy.credential import Secret
from regproxy.policy.freshness import Denied, Missing, TagRecord
from regproxy.policy.upstream.tokens import Token

KEY = Secret("docker.io canary-password")
TOKEN = Token(Secret("canary-token-77"), 100.0, 200.0)
REFERENCE = Reference(Repository("docker.io", "library/app"), Tag("1"))
BY_DIGEST = Reference(Repository("localhost:5000", "a/b"), Digest.of(b"x"))
RECORD = TagRecord(Descriptor("application/vnd.oci.image.index.v1+json", Digest.of(b""), 0), 50.0)
MISSING = Missing("docker.io has no such tag", 50.0)
DENIED = Denied("docker.io answered 451", 51.0, 451, "DENIED")


def ignored(_: dict[str, Any]) -> None: ...


@asynccontextmanager
async def worker(fleet: SharedFleet, heard: list[dict[str, Any]] | None = None) -> AsyncIterator[SupervisorClient]:
    ours, theirs = socket.socketpair()
    desk = asyncio.create_task(SupervisorServer(fleet, ignored if heard is None else heard.append).serve(ours))
    machine = await SupervisorClient.connected(theirs)
    try:
        yield machine
    finally:
        await machine.close()
        await desk


async def test_a_worker_that_dies_has_no_turn_any_more() -> None:
    fleet = SharedFleet(NullFleet())
    async with worker(fleet) as other:
        async with worker(fleet) as one:
            dying = one.lock("x")
            await dying.__aenter__()
            waiting = asyncio.create_task(other.lock("x").__aenter__())
            await other.token(KEY)
            assert not waiting.done()
        await waiting
        await dying.__aexit__(None, None, None)


async def test_a_supervisor_that_says_nothing_is_waited_for_once(caplog: pytest.LogCaptureFixture) -> None:
    """One question takes a second, a hundred take no longer; when it speaks again, it is believed again."""
    ours, theirs = socket.socketpair()
    machine = await SupervisorClient.connected(theirs)
    async with asyncio.timeout(300):
        for _ in range(100):
            async with machine.lock("x"):
                assert await machine.tag(REFERENCE) is None
    desk = asyncio.create_task(SupervisorServer(SharedFleet(NullFleet()), ignored).serve(ours))
    async with asyncio.timeout(300):
        while machine._is_silent:  # noqa: ASYNC110 -- another task is watched
            await asyncio.sleep(0.01)
    async with machine.lock("x"):
        machine.put_token(KEY, TOKEN)
        assert await machine.token(KEY) == TOKEN
    await machine.close()
    await desk
    assert caplog.text == ""


async def test_a_supervisor_that_is_gone_is_not_asked() -> None:
    ours, theirs = socket.socketpair()
    machine = await SupervisorClient.connected(theirs)
    ours.close()
    async with machine.lock("x"):
        machine.put_token(KEY, TOKEN)
        assert await machine.token(KEY) is None
    await machine.close()


async def test_a_report_is_handed_on() -> None:
    heard: list[dict[str, Any]] = []
    async with worker(SharedFleet(NullFleet()), heard) as machine:
        machine.report({"is_ready": True})
        await machine.token(KEY)
    assert heard == [{"is_ready": True}]


@pytest.mark.parametrize("line", [b"{", b"[]", b"nonsense", json.dumps([1, "what is that"]).encode(), b'[0, "end", 7]'])
async def test_a_worker_that_talks_nonsense_harms_nobody_else(line: bytes) -> None:
    ours, theirs = socket.socketpair()
    fleet = SharedFleet(NullFleet())
    desk = asyncio.create_task(SupervisorServer(fleet, ignored).serve(ours))
    theirs.sendall(line + b"\n")
    theirs.close()
    await asyncio.wait_for(desk, 300)
