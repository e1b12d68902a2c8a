"""Clients that make us wait, by a clock of the tests: rows S33, C02, C11."""

import asyncio
import select
import socket
import ssl
import struct
from contextlib import ExitStack
from pathlib import Path

import pytest

from regproxy.policy.clients.client_timeouts import ClientTimeouts
from tests.fakes.authority import Authority
from tests.rig import LOOPBACK
from tests.web.connection.watched import AGAIN, ASK, LARGE, ended, serving, until


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


def secured(port: int, request: bytes) -> ssl.SSLSocket:
    """Ask over TLS, and read the answer and nothing behind it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    client = context.wrap_socket(socket.create_connection((LOOPBACK, port), timeout=300))
    client.sendall(request)
    answer = b""
    while not answer.endswith(b"ok"):
        answer += client.recv(1000)
    return client


@pytest.fixture
def context(tmp_path: Path) -> ssl.SSLContext:
    """What a TLS port listens with."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*Authority(tmp_path).issue("server"))
    return context


async def test_c11_a_secured_connection_that_was_closed_twice_is_still_watched(context: ssl.SSLContext) -> None:
    """Its client does not say that it ends it too; asyncio forgets what a transport is about when it is closed again."""
    last = ASK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    async with serving(ClientTimeouts(connections=2), context) as subject:
        with ExitStack() as clients:
            for request in (last, ASK, ASK):
                clients.enter_context(await asyncio.to_thread(secured, subject.port, request))
            for _ in range(4):
                subject.later(15)
        await until(lambda: not subject.server.connections)
        assert not subject.server.watchdog._checks
        assert not subject.server.watchdog._clients


async def test_c11_a_secured_connection_that_was_reset_is_checked_until_that_is_told(context: ssl.SSLContext) -> None:
    async with serving(ClientTimeouts(), context) as subject:
        client = await asyncio.to_thread(secured, subject.port, ASK)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()

        def is_over() -> bool:
            subject.later(15)
            return not subject.server.connections

        await until(is_over)
        assert not subject.server.watchdog._checks
        assert not subject.server.watchdog._clients
