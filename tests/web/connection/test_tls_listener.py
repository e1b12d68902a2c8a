"""Handshakes in progress: how many there are, of whom, and for how long."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from regproxy.policy.clients.forwarded import ClientFrom, TrustedProxies
from regproxy.policy.clients.sharing import Share
from regproxy.web.connection.tls_listener import TlsListener
from tests.fakes.authority import Authority
from tests.rig import LOOPBACK

SHARE = Share.of(16)  # a client may have 12
LONG = 600.0  # seconds: nothing is to end because of its time


class Port:
    """A port that greets whoever has shaken hands, and its clients."""

    def __init__(self, folder: Path, timeout: float = LONG, grace: float = LONG) -> None:
        authority = Authority(folder)
        pair = authority.issue("server")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair.certificate, pair.key)
        self._trusting = ssl.create_default_context(cafile=authority.ca)
        self._sock = socket.create_server((LOOPBACK, 0), backlog=1000)
        self._number = self._sock.getsockname()[1]
        self.listener = TlsListener(self._sock, context, _Greeting, timeout, SHARE, grace)
        self.silent: list[asyncio.StreamReader] = []
        self._writers: list[asyncio.StreamWriter] = []

    async def open_silent(self, count: int, address: str) -> None:
        for _ in range(count):
            reader, writer = await asyncio.open_connection(LOOPBACK, self._number, local_addr=(address, 0))
            self.silent.append(reader)
            self._writers.append(writer)

    async def greeting(self, address: str = "127.0.9.9") -> bytes:
        reader, writer = await asyncio.open_connection(LOOPBACK, self._number, local_addr=(address, 0), ssl=self._trusting)
        try:
            return await reader.read()
        finally:
            writer.close()

    async def ended(self, count: int) -> None:
        """Wait until so many of the silent ones were closed."""
        pending = {asyncio.create_task(_end(reader)) for reader in self.silent}
        most = len(pending) - count
        try:
            while len(pending) > most:
                _, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in pending:
                task.cancel()

    async def until(self, state: str) -> None:
        """Wait until the listener describes itself so."""
        while state not in repr(self.listener):  # noqa: ASYNC110 -- it tells nobody
            await asyncio.sleep(0)

    def close(self) -> None:
        self.listener.close()
        for writer in self._writers:
            writer.transport.abort()


class _Greeting(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(b"hello")
        transport.close()


async def _end(reader: asyncio.StreamReader) -> None:
    with contextlib.suppress(ConnectionError):
        await reader.read()


@contextlib.contextmanager
def opened(port: Port) -> Iterator[Port]:
    port.listener.open()
    try:
        yield port
    finally:
        port.close()


@pytest.fixture(autouse=True)
async def in_time() -> AsyncIterator[None]:
    async with asyncio.timeout(300):
        yield


async def test_n12_19_of_a_client_with_too_many_handshakes_the_oldest_end(tmp_path: Path) -> None:
    with opened(Port(tmp_path)) as port:
        await port.open_silent(50, "127.0.9.1")
        await port.ended(50 - SHARE.most + SHARE.reserved)
        assert await port.greeting() == b"hello"
        await port.until("12/16 handshakes")


async def test_n12_19_a_client_among_many_silent_ones_gets_its_turn(tmp_path: Path) -> None:
    """Each has an address of its own: those that had their time make room, one for each that comes."""
    with opened(Port(tmp_path, grace=0.0)) as port:
        for number in range(40):
            await port.open_silent(1, f"127.0.9.{number + 1}")
        assert await port.greeting("127.0.8.1") == b"hello"
        await port.ended(40 - SHARE.most + 1)


async def test_n12_19_who_comes_while_all_places_are_taken_waits_for_one(tmp_path: Path) -> None:
    with opened(Port(tmp_path)) as port:
        for number in range(SHARE.most):
            await port.open_silent(1, f"127.0.9.{number + 1}")
        waiting = asyncio.create_task(port.greeting("127.0.8.1"))
        await port.until("16/16 handshakes")
        assert not waiting.done()
        port._writers[0].transport.abort()
        assert await waiting == b"hello"


async def test_n12_19_a_silent_client_is_not_waited_for(tmp_path: Path) -> None:
    with opened(Port(tmp_path, timeout=0.2)) as port:
        await port.open_silent(SHARE.most, "127.0.9.1")
        await port.ended(SHARE.most)
        assert await port.greeting("127.0.9.1") == b"hello"
        await port.until("0/16 handshakes, 0 clients")


async def test_n19_07_a_proxy_header_comes_before_tls(tmp_path: Path) -> None:
    """Who sends none, or half of one, is a handshake in progress like others."""
    authority = Authority(tmp_path)
    pair = authority.issue("server")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    named: list[str] = []

    def greet(client: str = "") -> asyncio.Protocol:
        named.append(client)
        return _Greeting()

    sock = socket.create_server((LOOPBACK, 0))
    number = sock.getsockname()[1]
    proxies = TrustedProxies(["127.0.5.1"], ClientFrom.PROXY_PROTOCOL)
    listener = TlsListener(sock, context, greet, LONG, SHARE, LONG, proxies)
    listener.open()
    trusting = ssl.create_default_context(cafile=authority.ca)
    try:
        half, writer = await asyncio.open_connection(LOOPBACK, number, local_addr=("127.0.5.1", 0))
        writer.write(b"PROXY TCP4 203.0.113.7")
        reader, proxied = await asyncio.open_connection(LOOPBACK, number, local_addr=("127.0.5.1", 0))
        proxied.write(b"PROXY TCP4 203.0.113.7 10.0.0.1 4711 5000\r\n")
        await proxied.start_tls(trusting, server_hostname=LOOPBACK)
        assert await reader.read() == b"hello"
        reader, plain = await asyncio.open_connection(LOOPBACK, number, local_addr=("127.0.5.2", 0), ssl=trusting)
        assert await reader.read() == b"hello"
        assert named == ["203.0.113.7", ""]
        assert "1/16 handshakes, 1 clients" in repr(listener)
        writer.close()
        assert await half.read() == b""
        for each in (proxied, plain):
            each.close()
    finally:
        listener.close()
