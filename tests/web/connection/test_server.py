"""Clients that make us wait, by a clock of the tests: rows S33, C02, C11, C14."""

import asyncio
import select
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from aiohttp import web
from multidict import CIMultiDict

from regproxy.policy.clients.client_timeouts import ClientTimeouts
from regproxy.policy.clients.sharing import Share
from regproxy.web.access_log import AccessLogEntry
from regproxy.web.buffered import BufferedResponse
from regproxy.web.connection.head_budget import HeadBudget
from regproxy.web.connection.server import RegistryServer, raw_request_of
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
async def serving(timeouts: ClientTimeouts) -> AsyncIterator[Subject]:
    """Serve /: ok, /large: a large body, /held: ok once the gate is open, /again: ok, which is repeated."""
    now = [0.0]
    cache = ResponseCache()

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        if request.path == "/held":
            subject.begun.set()
            await subject.gate.wait()
        if request.path == "/again" and (raw_request := raw_request_of(request)) is not None:
            again = BufferedResponse(200, CIMultiDict({"X-Request-Id": "1"}), b"ok", lambda: True)
            cache.learn(raw_request, request, again, AccessLogEntry(request, RequestContext(), again))
            return again
        return web.Response(body=LARGE if request.path == "/large" else b"ok")

    registry = RegistryServer(answer, timeouts, cache, lambda: now[0])
    server = await asyncio.get_running_loop().create_server(registry, LOOPBACK, 0)
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


async def test_s33_a_silent_connection_is_closed_and_so_is_half_a_head() -> None:
    async with serving(ClientTimeouts()) as subject:
        silent, _ = await subject.connect()
        half, writer = await subject.connect()
        writer.write(b"GET / HTTP/1.1\r\nHo")
        subject.later(9)
        late, late_writer = await subject.connect()
        subject.later(1)
        assert (await ended(silent), await ended(half)) == (b"", b"")
        await subject.ask(late, late_writer)


async def test_s33_a_head_in_small_portions_has_no_more_time() -> None:
    async with serving(ClientTimeouts()) as subject:
        reader, writer = await subject.asked()
        for byte in b"GET / HTTP":
            writer.write(bytes([byte]))
            await until(lambda: bool(subject.server.watchdog._heads))
            subject.later(1)
        assert await ended(reader) == b""


async def test_s33_a_client_that_is_idle_between_requests_is_not_one_that_owes_us_a_head() -> None:
    async with serving(ClientTimeouts()) as subject:
        reader, writer = await subject.asked()
        subject.later(70)
        await subject.ask(reader, writer)


@pytest.mark.parametrize("request_", [ASK, AGAIN], ids=["read", "repeated"])
async def test_s33_an_idle_connection_ends(request_: bytes) -> None:
    async with serving(ClientTimeouts(idle=0.2)) as subject:
        for _ in range(2):
            reader, _ = await subject.asked(request_)
        assert await ended(reader) == b""


async def test_s33_a_connection_of_repeated_requests_is_not_idle() -> None:
    """aiohttp, which ends idle ones, does not see those requests."""
    async with serving(ClientTimeouts(idle=1)) as subject:
        reader, writer = await subject.asked(AGAIN)
        until_then = asyncio.get_running_loop().time() + 2.5
        while asyncio.get_running_loop().time() < until_then:
            await subject.ask(reader, writer, AGAIN)
        assert subject.server.requests_count == 1


async def test_s33_who_was_answered_by_repeating_owes_us_no_head() -> None:
    async with serving(ClientTimeouts()) as subject:
        await subject.asked(AGAIN)
        reader, writer = await subject.asked(AGAIN)
        subject.later(70)
        await subject.ask(reader, writer, AGAIN)
        assert subject.server.requests_count == 1
        writer.write(b"GET / HT")
        await until(lambda: bool(subject.server.watchdog._heads))
        subject.later(10)
        assert await ended(reader) == b""


async def test_s33_an_answer_that_takes_us_long_is_not_the_clients_fault() -> None:
    async with serving(ClientTimeouts()) as subject:
        reader, writer = await subject.connect()
        writer.write(ASK.replace(b"GET /", b"GET /held"))
        await subject.begun.wait()
        for _ in range(20):
            subject.later(30)
        subject.gate.set()
        async with asyncio.timeout(300):
            assert await reader.readuntil(b"ok")


def stuck(port: int) -> socket.socket:
    """Ask for much and read nothing."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect((LOOPBACK, port))
    client.sendall(ASK.replace(b"GET /", b"GET /large"))
    return client


def is_dropped(client: socket.socket) -> bool:
    """Wait for the reset, which needs no reading."""
    poll = select.poll()
    poll.register(client, 0)
    return bool(poll.poll(20_000))


async def test_c02_a_reader_that_takes_nothing_is_dropped() -> None:
    async with serving(ClientTimeouts()) as subject:
        client = await asyncio.to_thread(stuck, subject.port)
        await asyncio.to_thread(client.recv, 100)
        for _ in range(7):
            subject.later(15)
        assert await asyncio.to_thread(is_dropped, client)
        client.close()


async def test_c02_a_reader_that_takes_little_is_not() -> None:
    async with serving(ClientTimeouts()) as subject:
        client = await asyncio.to_thread(stuck, subject.port)
        taken = 0
        for _ in range(30):
            taken += len(await asyncio.to_thread(client.recv, 65536, socket.MSG_WAITALL))
            subject.later(30)
        while chunk := await asyncio.to_thread(client.recv, 1 << 20):
            taken += len(chunk)
            if taken > len(LARGE):
                break
        assert taken > len(LARGE)
        client.close()


@pytest.mark.parametrize("request_", [ASK, AGAIN], ids=["read", "repeated"])
async def test_c11_the_longest_idle_makes_room(request_: bytes) -> None:
    async with serving(ClientTimeouts(connections=10)) as subject:
        first, first_writer = await subject.asked(request_)
        second, _ = await subject.asked(request_)
        await subject.ask(first, first_writer, request_)
        others = [await subject.asked() for _ in range(8)]
        new = await subject.asked()
        assert await ended(second) == b""
        for reader, writer in (first, first_writer), *others, new:
            await subject.ask(reader, writer)


async def test_c11_those_who_are_served_are_not_ended_for_newcomers() -> None:
    async with serving(ClientTimeouts(connections=3)) as subject:
        held = [await subject.connect() for _ in range(3)]
        for _, writer in held:
            writer.write(ASK.replace(b"GET /", b"GET /held"))
        await until(lambda: not subject.server.watchdog._heads)
        newcomer, writer = await asyncio.open_connection(LOOPBACK, subject.port)
        assert await ended(newcomer) == b""
        writer.close()
        subject.gate.set()
        for reader, _ in held:
            async with asyncio.timeout(300):
                await reader.readuntil(b"ok")


async def test_c14_who_will_ask_no_more_is_still_answered() -> None:
    async with serving(ClientTimeouts()) as subject:
        reader, writer = await subject.connect()
        writer.write(ASK.replace(b"GET /", b"GET /held"))
        writer.write_eof()
        await subject.begun.wait()
        subject.gate.set()
        assert (await ended(reader)).endswith(b"\r\n\r\nok")


async def test_c14_who_ends_without_a_question_is_let_go_at_once() -> None:
    async with serving(ClientTimeouts()) as subject:
        for request in (b"", b"GET / HT", ASK):
            reader, writer = await subject.connect()
            if request == ASK:
                await subject.ask(reader, writer)
            writer.write_eof()
            assert await ended(reader) == b""


@pytest.mark.parametrize("end", [b"", b"\r\n\r\n"], ids=["not ended", "not answered"])
async def test_n12_14_large_heads_are_bounded_over_all_connections(end: bytes) -> None:
    """Connections are many; others have a quarter to themselves, and what is answered counts no longer."""
    head = b"GET /held HTTP/1.1\r\nHost: proxy\r\nX-Long: " + b"a" * 60_000
    async with serving(ClientTimeouts()) as subject:
        budget = repr(subject.server.heads)
        first = await subject.connect()
        first[1].write(head + end)
        await until(lambda: repr(subject.server.heads) != budget)
        refused = []
        for _ in range(300):
            reader, writer = await asyncio.open_connection(LOOPBACK, subject.port)
            subject.writers.append(writer)
            writer.write(head + end)
            refused.append(asyncio.create_task(reader.read(12)))
        await asyncio.wait(refused, return_when=asyncio.FIRST_COMPLETED)
        said = {task.result() for task in refused if task.done()}
        assert said == {b"HTTP/1.1 503"}
        reader, writer = await asyncio.open_connection(LOOPBACK, subject.port)
        subject.writers.append(writer)
        await subject.ask(reader, writer)
        assert sum(not task.done() for task in refused) > 100
        if end:
            subject.gate.set()
            await until(lambda: repr(subject.server.heads) == budget)
        for writer in subject.writers:
            writer.transport.abort()
        await until(lambda: not subject.server.connections)
        assert repr(subject.server.heads) == budget
        for task in refused:
            task.cancel()
        await asyncio.gather(*refused, return_exceptions=True)


def test_n12_14_one_client_has_three_quarters_of_the_memory_for_heads() -> None:
    budget, share = HeadBudget(), Share.of(16 * 1024 * 1024)
    most = share.most - share.reserved
    assert budget.resize("192.0.2.1", 0, most)
    assert not budget.resize("192.0.2.1", most, most + 1)
    assert budget.resize("192.0.2.2", 0, 64 * 1024)
    assert budget.resize("192.0.2.1", most, 0)
    assert budget.resize("192.0.2.2", 64 * 1024, 0)
    assert "0/" in repr(budget)


async def test_n12_14_the_end_of_a_body_is_no_head() -> None:
    """The next request on the same connection is answered, too."""
    asked = asyncio.Queue[None]()

    async def read(request: web.BaseRequest) -> web.StreamResponse:
        asked.put_nowait(None)
        size = sum([len(chunk) async for chunk in request.content.iter_any()])
        return web.Response(text=f"{size} ok")

    body = bytes(100_000)  # more than a head may have
    server = RegistryServer(read, ClientTimeouts(), ResponseCache())
    listener = await asyncio.get_running_loop().create_server(server, LOOPBACK)
    reader, writer = await asyncio.open_connection(LOOPBACK, listener.sockets[0].getsockname()[1])
    async with asyncio.timeout(300):
        for _ in range(2):
            writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body))
            await asked.get()
            writer.write(body)
            assert (await reader.readuntil(b" ok")).endswith(b"\r\n100000 ok")
    writer.close()
    listener.close()
    await server.shutdown()
