"""Bodies that come slowly, over a real connection."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from regproxy.web.admin.upload import comes_in_time, received
from tests.rig import LOOPBACK

HEAD = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n"


@asynccontextmanager
async def _uploading(timeout: float, *, whole: bool = False) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Connect to a server that reads a body, in one or as it comes, and answers how long it was."""

    async def read(request: web.BaseRequest) -> web.StreamResponse:
        if whole:
            return web.Response(status=200 if await comes_in_time(request, timeout) else 408)
        try:
            size = sum([len(chunk) async for chunk in received(request.content, timeout)])
        except TimeoutError:
            return web.Response(status=408)
        return web.Response(text=str(size))

    server = web.Server(read, lingering_time=0)  # what comes behind a refusal is not waited for
    listener = await asyncio.get_running_loop().create_server(server, LOOPBACK)
    reader, writer = await asyncio.open_connection(LOOPBACK, listener.sockets[0].getsockname()[1])
    writer.write(HEAD)
    try:
        yield reader, writer
    finally:
        writer.close()
        listener.close()
        await server.shutdown()


async def test_n12_17_an_import_that_stops_is_ended() -> None:
    async with _uploading(timeout=0.5) as (reader, writer):
        writer.write(b"x" * 1000)
        assert (await reader.readline()).startswith(b"HTTP/1.1 408 ")


async def test_n12_17_an_import_that_trickles_is_ended() -> None:
    """Between two bytes there is never a silence."""

    async def trickle(writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(b"x")
            await asyncio.sleep(0.05)

    async with _uploading(timeout=2) as (reader, writer):
        trickling = asyncio.create_task(trickle(writer))
        assert (await reader.readline()).startswith(b"HTTP/1.1 408 ")
        trickling.cancel()


@pytest.mark.parametrize("pieces", [1, 100])
async def test_n12_17_an_import_that_flows_is_taken(pieces: int) -> None:
    async with _uploading(timeout=20) as (reader, writer):
        for _ in range(pieces):
            writer.write(bytes(1_000_000 // pieces))
            await writer.drain()
        assert b"1000000" in (await reader.readuntil(b"\r\n\r\n")) + await reader.readexactly(7)


async def test_s33_a_small_body_that_is_trickled_is_ended() -> None:
    async with _uploading(timeout=0.5, whole=True) as (reader, writer):
        writer.write(b"{")
        assert b" 408 " in await reader.readuntil(b"\r\n")
