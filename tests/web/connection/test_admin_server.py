"""The admin port keeps its connections within bounds, as the registry port does."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from regproxy.policy.clients.client_timeouts import ClientTimeouts
from regproxy.web.connection.admin_server import AdminServer, admin_runner
from tests.rig import LOOPBACK
from tests.web.connection.watched import ASK, ended, until


@asynccontextmanager
async def _serving(timeouts: ClientTimeouts, gate: asyncio.Event) -> AsyncIterator[tuple[AdminServer, int]]:
    """Serve /: ok, /held: ok once the *gate* is open."""

    async def ok(_: web.Request) -> web.Response:
        return web.Response(body=b"ok")

    async def held(request: web.Request) -> web.Response:
        await gate.wait()
        return await ok(request)

    app = web.Application()
    app.router.add_get("/", ok)
    app.router.add_get("/held", held)
    runner = admin_runner(app, timeouts)
    await runner.setup()
    site = web.TCPSite(runner, LOOPBACK, 0)
    await site.start()
    try:
        yield runner.served, runner.addresses[0][1]
    finally:
        gate.set()
        await runner.cleanup()


async def _asked(port: int, request: bytes = ASK) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    opened = await asyncio.open_connection(LOOPBACK, port)
    opened[1].write(request)
    return opened


async def _answered(reader: asyncio.StreamReader) -> None:
    async with asyncio.timeout(300):
        await reader.readuntil(b"ok")


async def test_s33_the_admin_port_waits_for_no_head_for_ever() -> None:
    async with _serving(ClientTimeouts(head=0.2), asyncio.Event()) as (server, port), server.watchdog.running():
        for begun in (b"", b"GET / HTTP/1.1\r\nHo", b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n"):
            reader, writer = await _asked(port, begun)
            assert await ended(reader) == b""
            writer.close()


async def test_c11_a_client_with_too_many_connections_loses_its_own() -> None:
    async with _serving(ClientTimeouts(client_connections=3), asyncio.Event()) as (server, port):
        silent, writer = await _asked(port, b"")
        await until(lambda: len(server.connections) == 1)
        others = [await _asked(port) for _ in range(3)]
        assert await ended(silent) == b""
        for reader, _ in others:
            await _answered(reader)
        for each in (writer, *(writer for _, writer in others)):
            each.close()
        await until(lambda: not server.watchdog._clients)


async def test_c11_whom_the_admin_port_answers_it_does_not_end_for_newcomers() -> None:
    gate = asyncio.Event()
    async with _serving(ClientTimeouts(connections=2), gate) as (server, port):
        held = [await _asked(port, ASK.replace(b"GET /", b"GET /held")) for _ in range(2)]
        await until(lambda: len(server.connections) == 2 and not server.watchdog._heads)
        newcomer, writer = await _asked(port)
        assert await ended(newcomer) == b""
        gate.set()
        for reader, _ in held:
            await _answered(reader)
        for each in (writer, *(writer for _, writer in held)):
            each.close()
