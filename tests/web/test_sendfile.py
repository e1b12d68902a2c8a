"""Bytes of a file to a client, whatever way they take."""

import asyncio
import errno
import os
import resource
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from regproxy.ports import Extent
from regproxy.web.sendfile import SMALL, _send_as_taken, send_extent
from tests.fakes.authority import Authority
from tests.rig import LOOPBACK

BODY = os.urandom(3_000_000)


class Sending:
    """A server that sends a part of a file behind some text, and what became of it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.extent = (0, len(BODY))
        self.is_lasting = True
        self.failed: asyncio.Future[OSError] = asyncio.get_running_loop().create_future()
        self.url = ""

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        offset, length = self.extent
        response = web.StreamResponse()
        response.content_length = length + 4
        writer = await response.prepare(request)
        assert writer is not None
        await writer.write(b"head")
        with self.path.open("rb", buffering=0) as file:
            try:
                await send_extent(request, writer, Extent(file, offset, length, self.is_lasting))
            except OSError as error:
                response.force_close()
                self.failed.set_result(error)
        return response


@pytest.fixture(params=["plain", "TLS"])
async def sending(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[Sending, aiohttp.ClientSession]]:
    (tmp_path / "body").write_bytes(BODY)
    served = Sending(tmp_path / "body")
    context: ssl.SSLContext | None = None
    if request.param == "TLS":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*Authority(tmp_path).issue("server"))
    runner = web.ServerRunner(web.Server(served, access_log=None))
    await runner.setup()
    await web.TCPSite(runner, LOOPBACK, 0, ssl_context=context).start()
    served.url = f"http{'s' if context else ''}://{LOOPBACK}:{runner.addresses[0][1]}/"
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=False)) as session:
        yield served, session
    await runner.cleanup()


async def _asked(session: aiohttp.ClientSession, sending: Sending) -> bytes:
    async with session.get(sending.url) as response:
        return await response.read()


@pytest.mark.parametrize(("offset", "length"), [(0, len(BODY)), (1_000_001, SMALL), (5, 10), (2_999_999, 1), (100, SMALL + 1)])
@pytest.mark.parametrize("is_lasting", [True, False], ids=["lasting", "being written"])
async def test_a_part_of_a_file_comes_behind_what_was_written_before(
    sending: tuple[Sending, aiohttp.ClientSession], offset: int, length: int, *, is_lasting: bool
) -> None:
    served, session = sending
    served.extent, served.is_lasting = (offset, length), is_lasting
    assert await _asked(session, served) == b"head" + BODY[offset : offset + length]


@pytest.mark.parametrize("left", [0, 1_500_000])
async def test_a_file_that_has_become_shorter_ends_the_connection_short(sending: tuple[Sending, aiohttp.ClientSession], left: int) -> None:
    served, session = sending
    os.truncate(served.path, left)
    with pytest.raises(aiohttp.ClientPayloadError):
        await _asked(session, served)
    error = await served.failed
    assert (error.errno, str(error.strerror)) == (errno.EIO, "the file is shorter than it was")


async def test_a_client_that_leaves_is_no_fault_of_the_disk(sending: tuple[Sending, aiohttp.ClientSession], tmp_path: Path) -> None:
    served, session = sending
    os.truncate(tmp_path / "body", 500_000_000)  # more than any socket takes
    served.extent = (0, 500_000_000)
    async with session.get(served.url) as response:
        await response.content.readexactly(10)
        response.close()
    assert isinstance(await served.failed, ConnectionError)


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize("leaves", [False, True], ids=["whole", "left"])
async def test_no_descriptor_of_a_client_stays_open(sending: tuple[Sending, aiohttp.ClientSession], *, leaves: bool) -> None:
    served, session = sending
    await _asked(session, served)
    before = _descriptors()
    for _ in range(3):
        if leaves:
            served.failed = asyncio.get_running_loop().create_future()
            os.truncate(served.path, 500_000_000)
            served.extent = (0, 500_000_000)
            async with session.get(served.url) as response:
                await response.content.readexactly(10)
                response.close()
            await served.failed
        else:
            await _asked(session, served)
    async with asyncio.timeout(60):
        while _descriptors() > before:  # noqa: ASYNC110  the transports of clients that left close in turns of the loop that follow
            await asyncio.sleep(0.01)


@contextmanager
def _few_descriptors() -> Iterator[None]:
    """Allow no more descriptors than there are, and a few."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(int(path.name) for path in Path("/proc/self/fd").iterdir()) + 10, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_where_descriptors_are_few_a_client_takes_one(sending: tuple[Sending, aiohttp.ClientSession]) -> None:
    served, session = sending
    with _few_descriptors():
        assert await _asked(session, served) == b"head" + BODY


async def test_who_leaves_in_the_turn_in_which_sending_is_cancelled_is_no_error(tmp_path: Path) -> None:
    loop, errors = asyncio.get_running_loop(), []
    loop.set_exception_handler(lambda _, context: errors.append(context))
    (tmp_path / "body").write_bytes(BODY)
    ours, client = socket.socketpair()
    ours.setblocking(False)
    transport, _ = await loop.create_connection(asyncio.Protocol, sock=ours)
    before = _descriptors()
    with (tmp_path / "body").open("rb", buffering=0) as file:
        sending = asyncio.create_task(_send_as_taken(transport, Extent(file, 0, len(BODY))))
        await asyncio.to_thread(client.recv, 1)
        loop.call_soon(sending.cancel)  # before the event loop hears that the client has left
        client.close()
        await asyncio.gather(sending, return_exceptions=True)
    assert (sending.cancelled(), errors, _descriptors()) == (True, [], before - 1)
    transport.abort()
