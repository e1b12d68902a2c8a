"""Bodies past aiohttp's parser: the bytes are the same, and so is what becomes of their connections."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from regproxy.upstream.body_protocol import BodyProtocol, flow_of
from tests.fakes.authority import Authority
from tests.fakes.listener import Listener
from tests.fakes.registry import FakeRegistry
from tests.web.connection.watched import until

BODY = b"0123456789" * 300_000  # more than is read ahead


class Host(Listener):
    """Sends a body and what is *behind* it, but for as many bytes as it *keeps* until there is `more`; or *ends* without them."""

    def __init__(self, head: bytes = b"", behind: bytes = b"", keeps: int = 0, ends: bool = False) -> None:
        super().__init__()
        self.head = head or b"Content-Length: %d" % len(BODY)
        self.behind = behind
        self.keeps = keeps
        self.ends = ends
        self.more = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(b"HTTP/1.1 200 OK\r\n" + self.head + b"\r\n\r\n" + BODY[: len(BODY) - self.keeps])
            await writer.drain()
            if self.ends:
                return
            await self._rest(writer)

    async def _rest(self, writer: asyncio.StreamWriter) -> None:
        if self.keeps:
            await self.more.wait()
            writer.write(BODY[len(BODY) - self.keeps :])
        writer.write(self.behind)
        await writer.drain()


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def rest_of(flow: BodyProtocol | None) -> bytes:
    assert flow is not None
    chunks = []
    async with asyncio.timeout(300):
        while chunk := await flow.read():
            chunks.append(chunk)
    return b"".join(chunks)


async def test_all_of_it_comes_and_the_connection_is_for_the_next(session: aiohttp.ClientSession) -> None:
    async with Host() as host:
        for _ in range(3):
            async with session.get(host.url) as response:
                assert await rest_of(flow_of(response)) == BODY
                assert response.content.at_eof()
        assert host.connections == 1


async def test_so_it_is_with_tls(session: aiohttp.ClientSession, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue("host"))
    trusting = ssl.create_default_context(cafile=str(authority.ca))
    async with FakeRegistry(tls=context) as host:
        digest = host.add_blob("app", BODY)
        used = []
        for _ in range(2):
            async with session.get(f"{host.url}/v2/app/blobs/{digest}", ssl=trusting) as response:
                used.append(response.connection and response.connection.transport)
                flow = flow_of(response)
                assert flow is not None
                flow.pause()
                assert await rest_of(flow) == BODY
        assert used[0] is used[1] is not None


async def test_what_comes_behind_the_end_belongs_to_nothing(session: aiohttp.ClientSession) -> None:
    async with Host(behind=b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", keeps=1) as host:
        host.more.set()
        for _ in range(2):
            async with session.get(host.url) as response:
                assert await rest_of(flow_of(response)) == BODY
        assert host.connections == 2


async def test_what_came_before_the_end_is_given_before_it_is_told(session: aiohttp.ClientSession) -> None:
    async with Host(keeps=1000, ends=True) as host, session.get(host.url) as response:
        flow = flow_of(response)
        assert flow is not None
        came = 0
        while came < len(BODY) - 1000:
            came += len(await flow.read())
        with pytest.raises(aiohttp.ClientPayloadError):
            await flow.read()


async def test_a_host_has_to_wait_for_whoever_reads(session: aiohttp.ClientSession) -> None:
    async with Host() as host, session.get(host.url) as response:
        transport = response.connection and response.connection.transport
        flow = flow_of(response)
        assert flow is not None
        assert transport is not None
        await until(lambda: not transport.is_reading())
        assert not response.content.is_eof()
        assert await rest_of(flow) == BODY


async def test_n13_23_a_host_has_to_wait_where_it_is_paused(session: aiohttp.ClientSession) -> None:
    async with Host(keeps=1000) as host:
        for _ in range(2):
            host.more.clear()
            async with session.get(host.url) as response:
                transport = response.connection and response.connection.transport
                flow = flow_of(response)
                assert flow is not None
                assert transport is not None
                begun = await flow.read()
                flow.pause()
                assert not transport.is_reading()
                host.more.set()
                assert begun + await rest_of(flow) == BODY
                flow.pause()
        assert host.connections == 1


async def test_a_body_may_be_left_in_the_middle(session: aiohttp.ClientSession) -> None:
    async with Host(keeps=1000) as host:
        for _ in range(2):
            async with session.get(host.url) as response:
                flow = flow_of(response)
                assert flow is not None
                assert await flow.read()
        assert host.connections == 2


@pytest.mark.parametrize("head", [b"Transfer-Encoding: chunked\r\n\r\nffffff", b"Connection: close"], ids=["chunked", "until the end"])
async def test_a_length_that_is_not_known_is_left_to_the_parser(session: aiohttp.ClientSession, head: bytes) -> None:
    async with Host(head, keeps=1000, ends=True) as host, session.get(host.url) as response:
        assert flow_of(response) is None
