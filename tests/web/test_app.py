"""Ports: how they are opened, and how they are left."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from regproxy.config import Address
from regproxy.server import sockets
from regproxy.web.app import admin_port
from tests.fakes.registry import FakeRegistry
from tests.rig import LOOPBACK, Rig


class Subject:
    """An admin port whose answers wait for the test."""

    def __init__(self) -> None:
        self.begun, self.gate = asyncio.Event(), asyncio.Event()
        self.port = 0

    async def held(self, _: web.Request) -> web.Response:
        self.begun.set()
        await self.gate.wait()
        return web.Response(text="late")

    async def connect(self, path: str | None = None) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection(LOOPBACK, self.port)
        if path is not None:
            writer.write(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        return reader, writer


@asynccontextmanager
async def opened(drain: float) -> AsyncIterator[Subject]:
    subject, app = Subject(), web.Application()
    app.router.add_get("/held", subject.held)
    (listeners,) = sockets.opened(Address(LOOPBACK, 0))
    subject.port = sockets.port(listeners)
    async with admin_port(app, listeners, drain=drain):
        yield subject


async def test_who_waits_for_an_answer_has_it_and_who_is_idle_is_let_go() -> None:
    async with opened(drain=60) as subject:
        silent, silent_writer = await subject.connect()
        idle_reader, idle_writer = await subject.connect("/nothing")
        await idle_reader.readuntil(b"404: Not Found")
        asked, asked_writer = await subject.connect("/held")
        await subject.begun.wait()
        asyncio.get_running_loop().call_soon(subject.gate.set)
    assert (await asked.read()).endswith(b"late")
    assert [await silent.read(), await idle_reader.read()] == [b"", b""]
    for writer in (silent_writer, idle_writer, asked_writer):
        writer.close()
    with pytest.raises(ConnectionRefusedError):
        await subject.connect()


async def test_an_answer_that_does_not_come_holds_nobody_up() -> None:
    async with opened(drain=0) as subject:
        asked, writer = await subject.connect("/held")
        await subject.begun.wait()
    assert await asked.read() == b""
    writer.close()


@pytest.mark.parametrize("turns", range(6))
async def test_who_was_accepted_as_the_port_was_left_is_let_go(turns: int) -> None:
    """Not kept open by nobody: asyncio hands a connection over turns after it was accepted."""
    with socket.socket() as client:
        client.settimeout(5)
        async with opened(drain=0) as subject:
            client.connect((LOOPBACK, subject.port))
            for _ in range(turns):
                await asyncio.sleep(0)
        with contextlib.suppress(ConnectionResetError):  # nobody has accepted it yet
            assert await asyncio.to_thread(client.recv, 1) == b""


async def test_a_registry_port_that_is_left_says_so_with_its_last_answer(upstream: FakeRegistry, proxy: Rig) -> None:
    """A connection that is just closed may have a request on its way."""
    upstream.add_image("library/app", "1", [b"layer"])
    reader, writer = await asyncio.open_connection(LOOPBACK, proxy.port)
    request = b"GET /v2/ HTTP/1.1\r\nHost: a\r\n\r\n"
    writer.write(request)
    assert b"connection: close" not in (await reader.readuntil(b"{}")).lower()
    proxy.server.is_leaving = True
    writer.write(request)
    assert b"connection: close" in (await reader.read()).lower()
    writer.close()
