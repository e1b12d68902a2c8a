"""What our ports use of aiohttp's server beside its documented API: all of it is here, for the pinned minor version."""

import asyncio
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from aiohttp import web
from aiohttp.http_parser import HttpRequestParser, HttpRequestParserPy, RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from aiohttp.web_protocol import RequestHandler

from regproxy.policy.clients.forwarded import ClientFrom, TrustedProxies
from regproxy.web.connection.tls_listener import TlsListener

__all__ = ["ApplicationRunner", "OpenRequestHandler", "OpenServer", "RawRequestMessage", "TimedSite", "close_idle", "slow_parser"]

_TURNS = 3  # of the event loop, from accept to a connection that was handed over (asyncio.selector_events)


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


_Server = TypeVar("_Server", bound=OpenServer)


class ApplicationRunner(web.AppRunner, Generic[_Server]):
    """A runner of an application whose server is of a class of our own."""

    __slots__ = ("_make", "served")

    def __init__(self, app: web.Application, make: Callable[[web.Server], _Server], *, shutdown_timeout: float) -> None:
        """Run *app* by what *make* makes of the server that aiohttp would use; from `setup` on it is `served`."""
        super().__init__(app, shutdown_timeout=shutdown_timeout)
        self._make = make
        self.served: _Server

    async def _make_server(self) -> web.Server:
        self.served = self._make(await super()._make_server())
        return self.served


class TimedSite(web.SockSite):
    """A site whose clients have *handshake_timeout* seconds for a handshake; aiohttp gives them a minute."""

    def __init__(
        self,
        runner: web.BaseRunner,
        sock: Any,  # noqa: ANN401  aiohttp's
        *,
        handshake_timeout: float,
        proxies: TrustedProxies | None = None,
        **how: Any,  # noqa: ANN401  aiohttp's
    ) -> None:
        """Have *proxies* begin with a PROXY header, where they are to."""
        super().__init__(runner, sock, **how)
        self._handshake_timeout = handshake_timeout
        self._proxies = proxies if proxies is not None and proxies.client_from is ClientFrom.PROXY_PROTOCOL else None

    async def start(self) -> None:
        await web.BaseSite.start(self)
        server = self._runner.server
        assert server is not None  # noqa: S101  it was set up
        if self._ssl_context is not None or self._proxies is not None:
            listener = TlsListener(self._sock, self._ssl_context, server, self._handshake_timeout, proxies=self._proxies)
            listener.open()
            self._server = listener  # type: ignore[assignment]  # all that is done with it is to close it
            return
        self._server = await asyncio.get_running_loop().create_server(server, sock=self._sock, backlog=self._backlog)

    async def stop(self) -> None:
        """Take over who was accepted before, then listen no more: asyncio 3.11 leaves open, to nobody, who was not handed over by then."""
        asyncio.get_running_loop().remove_reader(self._sock)
        try:
            for _ in range(_TURNS):
                await asyncio.sleep(0)
        finally:
            await super().stop()


def close_idle(server: web.Server) -> None:
    """Close connections that wait for a request at once, and others after their response.

    aiohttp's `pre_shutdown` leaves the former open, and answers nothing on them any more.
    """
    for each in server.connections:
        is_idle = each._waiter is not None  # noqa: SLF001  aiohttp has no name for it
        each.close()
        if is_idle:
            each.force_close()


def slow_parser() -> str | None:
    """Return a warning where aiohttp's Python parser is in use: it is ten times slower, and has had request smuggling faults."""
    return "aiohttp's C parser is missing: install aiohttp with its extensions" if HttpRequestParser is HttpRequestParserPy else None
