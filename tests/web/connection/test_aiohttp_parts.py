"""aiohttp's server still has what the registry port leans on."""

import asyncio
import socket
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.streams import EMPTY_PAYLOAD
from aiohttp.web_protocol import RequestHandler

import regproxy
from regproxy.web.connection.aiohttp_parts import ApplicationRunner, OpenRequestHandler, OpenServer, TimedSite, slow_parser

_PACKAGE = Path(regproxy.__file__).parent
_HOMES = {_PACKAGE / "web/connection/aiohttp_parts.py", _PACKAGE / "upstream/aiohttp_parts.py"}
_UNDOCUMENTED = ("aiohttp.client_proto", "aiohttp.connector", "aiohttp.http_parser", "aiohttp.streams", "aiohttp.web_protocol")
_OF_A_CONNECTION = (
    "_buffer_paused",
    "_keepalive_timeout",
    "_loop",
    "_messages",
    "_msg_queue_resume_size",
    "_next_keepalive_close_time",
    "_pause_reading_for_buffer",
    "_request_count",
    "_upgraded",
    "_waiter",
    "connection_lost",
    "connection_made",
    "data_received",
    "eof_received",
    "force_close",
    "handle_error",
    "ssl_context",
)


async def _handle(_: web.BaseRequest) -> web.StreamResponse:
    return web.Response()


def _connection() -> OpenRequestHandler:
    server = OpenServer(_handle)
    return OpenRequestHandler(server, **server.options())


@pytest.mark.parametrize("name", _OF_A_CONNECTION)
async def test_a_connection_has_what_we_lean_on(name: str) -> None:
    assert hasattr(RequestHandler, name)
    assert hasattr(_connection(), name)


async def test_a_parsed_request_can_be_seen_before_it_is_begun() -> None:
    connection = _connection()
    assert not connection.is_waiting()
    ours, theirs = socket.socketpair()
    with theirs:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_connection(lambda: connection, sock=ours)
        connection.data_received(b"GET /v2/ HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (connection.request_count, connection.waiting_requests) == (1, 1)
        assert connection.last_body() is None
        assert connection._messages[-1][1] is EMPTY_PAYLOAD
        assert not connection.is_upgraded()
        connection.data_received(b"PUT /v2/ HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n")
        body = connection.last_body()
        assert body is not None
        assert not body.is_eof()
        transport.close()


async def test_a_site_has_what_we_lean_on() -> None:
    runner = web.ServerRunner(OpenServer(_handle))
    await runner.setup()
    listener = socket.create_server(("127.0.0.1", 0))
    try:
        site = TimedSite(runner, listener, handshake_timeout=1.0)
        await site.start()
        assert all(hasattr(site, name) for name in ("_backlog", "_runner", "_server", "_sock", "_ssl_context"))
    finally:
        await runner.cleanup()


async def test_an_application_is_started_for_a_server_of_ours() -> None:
    app, started = web.Application(), []

    async def start(_: web.Application) -> None:
        started.append(True)

    app.on_startup.append(start)
    runner = ApplicationRunner(app, lambda server: OpenServer(server.request_handler), shutdown_timeout=1.0)
    await runner.setup()
    assert started == [True]
    assert isinstance(runner.served, OpenServer)
    assert runner.server is runner.served
    await runner.cleanup()


def test_the_fast_parser_is_here() -> None:
    assert slow_parser() is None


def test_undocumented_parts_of_aiohttp_have_two_homes() -> None:
    strays = [
        f"{path.relative_to(_PACKAGE)}: {name}"
        for path in _PACKAGE.rglob("*.py")
        if path not in _HOMES
        for name in _UNDOCUMENTED
        if name in path.read_text()
    ]
    assert strays == []
