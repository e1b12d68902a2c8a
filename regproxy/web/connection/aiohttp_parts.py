"""What the registry port uses of aiohttp's server beside its documented API: all of it is here, for the pinned minor version."""

import asyncio
from typing import Any

from aiohttp import web
from aiohttp.http_parser import HttpRequestParser, HttpRequestParserPy, RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from aiohttp.web_protocol import RequestHandler

__all__ = ["OpenRequestHandler", "OpenServer", "RawRequestMessage", "TimedSite", "slow_parser"]


class OpenRequestHandler(RequestHandler):
    """A connection whose requests can be seen before they are handled."""

    __slots__ = ()

    def __init__(self, server: "OpenServer", **how: Any) -> None:  # noqa: ANN401  aiohttp's
        super().__init__(server, **how)
        self._msg_queue_resume_size = 0  # it reads on when so many requests wait

    @property
    def request_count(self) -> int:
        """How many requests were parsed so far."""
        return self._request_count

    @property
    def waiting_requests(self) -> int:
        """How many requests were parsed and are not begun."""
        return len(self._messages)

    def is_waiting(self) -> bool:
        """Report whether nothing is being answered, and the next request is waited for."""
        return self._waiter is not None and not self._waiter.done()

    def restart_keepalive(self) -> None:
        """Count the time that the connection may be idle from now on."""
        self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout

    def last_body(self) -> StreamReader | None:
        """Return the body of the request that was parsed last and is not begun; None where it has none."""
        payload = self._messages[-1][1]
        return None if payload is EMPTY_PAYLOAD else payload

    def is_upgraded(self) -> bool:
        """Report whether the client was believed to speak something else from now on."""
        return self._upgraded

    def stop_reading(self) -> None:
        """Read no more before the requests that wait are begun."""
        if not self._buffer_paused:
            self._pause_reading_for_buffer()


class OpenServer(web.Server):
    """A server whose connections are of a class of our own."""

    def options(self) -> dict[str, Any]:
        """Return what a connection is made with."""
        return {"loop": self._loop, **self._kwargs}

    def request_of(self, message: RawRequestMessage, *others: Any) -> web.BaseRequest:  # noqa: ANN401  aiohttp's
        """Make the request of a parsed head."""
        return self._make_request(message, *others)


class TimedSite(web.SockSite):
    """A site whose clients have *handshake_timeout* seconds for a handshake; aiohttp gives them a minute."""

    def __init__(self, runner: web.BaseRunner, sock: Any, *, handshake_timeout: float, **how: Any) -> None:  # noqa: ANN401  aiohttp's
        super().__init__(runner, sock, **how)
        self._handshake_timeout = handshake_timeout

    async def start(self) -> None:
        await web.BaseSite.start(self)
        server = self._runner.server
        assert server is not None  # noqa: S101  it was set up
        self._server = await asyncio.get_running_loop().create_server(
            server,
            sock=self._sock,
            ssl=self._ssl_context,
            backlog=self._backlog,
            ssl_handshake_timeout=self._handshake_timeout if self._ssl_context else None,
        )


def slow_parser() -> str | None:
    """Return a warning where aiohttp's Python parser is in use: it is ten times slower, and has had request smuggling faults."""
    return "aiohttp's C parser is missing: install aiohttp with its extensions" if HttpRequestParser is HttpRequestParserPy else None
