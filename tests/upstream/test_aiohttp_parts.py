"""aiohttp's client still has what we lean on."""

import asyncio
import errno
import socket
import ssl

import aiohttp
import pytest
from aiohttp import web
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ConnectionKey
from aiohttp.test_utils import TestServer

from regproxy.upstream.aiohttp_parts import PeerResponse, body_connection, broken_off, no_connection, read_any
from tests.free_port import free_port


@pytest.mark.parametrize("name", ["connection_lost", "force_close"])
def test_a_protocol_has_what_we_lean_on(name: str) -> None:
    assert hasattr(ResponseHandler, name)


@pytest.mark.parametrize("name", ["feed_eof", "is_eof", "read_nowait", "readany", "set_exception"])
def test_a_body_has_what_we_lean_on(name: str) -> None:
    assert hasattr(aiohttp.StreamReader, name)


async def test_a_connection_is_taken_and_given_back_for_the_next_request() -> None:
    more = asyncio.Event()

    async def handle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "4"})
        await response.prepare(request)
        await response.write(b"ab")
        await more.wait()
        await response.write(b"cd")
        return response

    class Rest(asyncio.Protocol):
        def __init__(self) -> None:
            self.came: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

        def data_received(self, data: bytes) -> None:
            self.came.set_result(data)

    app = web.Application()
    app.router.add_get("/", handle)
    async with TestServer(app) as server, aiohttp.ClientSession(response_class=PeerResponse) as session:
        response = await session.get(server.make_url("/"))
        assert isinstance(response, PeerResponse)
        assert response.peer == "127.0.0.1"
        connection = body_connection(response)
        assert connection is not None
        first, rest = b"", Rest()
        while len(first) < 2:
            first += b"".join(connection.received())
            await asyncio.sleep(0)
        connection.take(rest, 1024)
        more.set()
        assert (first, await rest.came) == (b"ab", b"cd")
        connection.give_back()
        more.clear()  # the next answer is still being received when it is looked at
        again = await session.get(server.make_url("/"))
        assert again.connection is not None
        assert again.connection.transport is connection.transport
        more.set()
        assert await again.read() == b"abcd"


async def test_what_came_before_the_end_is_read_before_the_error() -> None:
    content = aiohttp.StreamReader(ResponseHandler(asyncio.get_running_loop()), 1024)
    content.feed_data(b"ab")
    content.set_exception(aiohttp.ClientPayloadError())
    assert await read_any(content) == b"ab"
    with pytest.raises(aiohttp.ClientPayloadError):
        await read_any(content)


async def test_a_body_whose_connection_is_gone_is_broken_off() -> None:
    """Not a mistake of ours, as aiohttp takes it: a hostile host was seen to bring it about, with nothing left to say why."""
    protocol = ResponseHandler(asyncio.get_running_loop())
    body = aiohttp.StreamReader(protocol, 1024, loop=asyncio.get_running_loop())
    with pytest.raises(aiohttp.ServerDisconnectedError), broken_off():
        await read_any(body)
    with pytest.raises(RuntimeError, match="ours"), broken_off():
        raise RuntimeError("ours")


async def test_why_there_is_no_connection_is_told() -> None:
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientConnectorError) as refused:
            await session.get(f"http://127.0.0.1:{free_port()}/")
    assert no_connection(refused.value) == "Connection refused"


@pytest.mark.parametrize(
    ("cause", "told"),
    [
        (OSError(errno.EHOSTUNREACH, "Connect call failed ('10.0.0.1', 5000)"), "No route to host"),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "Name or service not known"),
        (ssl.SSLError(1, "[SSL] wrong version number"), "[SSL] wrong version number"),
        (OSError("Multiple exceptions: one, two"), "Multiple exceptions: one, two"),
    ],
)
def test_why_there_is_no_connection_is_told_whatever_says_it(cause: OSError, told: str) -> None:
    key = ConnectionKey("cache", 5000, is_ssl=False, ssl=True, proxy=None, proxy_auth=None, proxy_headers_hash=None)
    assert no_connection(aiohttp.ClientConnectorError(key, cause)) == told
