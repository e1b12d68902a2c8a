"""A watched server, by a clock of the tests."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web
from multidict import CIMultiDict

from regproxy.policy.clients.client_timeouts import ClientTimeouts
from regproxy.web.access_log import AccessLogEntry
from regproxy.web.buffered import BufferedResponse
from regproxy.web.connection.server import RegistryServer, cache_key_of
from regproxy.web.context import RequestContext
from regproxy.web.response_cache import ResponseCache
from tests.fakes.caller import raw_request
from tests.rig import LOOPBACK

LARGE = bytes(16 * 1024 * 1024)  # more than the kernel takes for a client that does not read

ASK = raw_request("/")

AGAIN = raw_request("/again")


@dataclass
class Subject:
    """A watched server, and its clock."""

    server: RegistryServer
    port: int = 0
    now: list[float] = field(default_factory=lambda: [0.0])
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect, and wait until the server knows of it."""
        before = len(self.server.connections)
        opened = await asyncio.open_connection(LOOPBACK, self.port)
        self.writers.append(opened[1])
        await until(lambda: len(self.server.connections) > before)
        return opened

    async def asked(self, request: bytes = ASK) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect, ask, and have the answer."""
        reader, writer = await self.connect()
        await self.ask(reader, writer, request)
        return reader, writer

    async def ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes = ASK) -> None:
        writer.write(request)
        async with asyncio.timeout(300):
            await reader.readuntil(b"ok")

    def later(self, seconds: float) -> None:
        self.now[0] += seconds
        self.server.watchdog.check()


@asynccontextmanager
async def serving(timeouts: ClientTimeouts, context: ssl.SSLContext | None = None) -> AsyncIterator[Subject]:
    """Serve /: ok, /large: a large body, /held: ok once the gate is open, /again: ok, which is repeated, /left: to one who leaves."""
    now = [0.0]
    cache = ResponseCache()

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        if request.path == "/held":
            subject.begun.set()
            await subject.gate.wait()
        if request.path == "/left":
            await (begun := web.StreamResponse()).prepare(request)
            assert request.transport is not None
            request.transport.abort()  # as by a reset that we have not been told of yet
            await begun.write(b"ok")
        if request.path == "/again" and (raw_request := cache_key_of(request)) is not None:
            again = BufferedResponse(200, CIMultiDict({"X-Request-Id": "1"}), b"ok", lambda: True)
            cache.learn(raw_request, request, again, AccessLogEntry(request, RequestContext(), again))
            return again
        return web.Response(body=LARGE if request.path == "/large" else b"ok")

    registry = RegistryServer(answer, timeouts, cache, lambda: now[0])
    server = await asyncio.get_running_loop().create_server(registry, LOOPBACK, 0, ssl=context)
    subject = Subject(registry, server.sockets[0].getsockname()[1], now)
    try:
        yield subject
    finally:
        for writer in subject.writers:
            writer.close()
        server.close()
        await registry.shutdown(0)


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(300):
        while not is_so():  # noqa: ASYNC110  a server tells nobody
            await asyncio.sleep(0)


async def ended(reader: asyncio.StreamReader) -> bytes:
    """Read to the end, or until a reset: what we sent last may have been thrown away."""
    async with asyncio.timeout(300):
        try:
            return await reader.read()
        except ConnectionResetError:
            return b""
