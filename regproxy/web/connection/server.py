"""The server of the registry port: aiohttp's, with its connections watched and repeated requests answered before they are parsed."""

import asyncio
import logging
import socket
import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, TypeAlias

from aiohttp import StreamReader, web

from regproxy.oci import errors
from regproxy.oci.errors import RegistryError
from regproxy.policy.clients.client_timeouts import ClientTimeouts, SendProgress
from regproxy.policy.clients.forwarded import TrustedProxies
from regproxy.policy.clock import MonotonicClock
from regproxy.telemetry.log import fields
from regproxy.web.access_log import AccessLogEntry
from regproxy.web.clients.metering import Meter
from regproxy.web.connection.aiohttp_parts import OpenRequestHandler, OpenServer, RawRequestMessage
from regproxy.web.connection.head_budget import LARGE, HeadBudget
from regproxy.web.connection.identification import certificate_digest, named_by_header, speaks_by_header
from regproxy.web.connection.watchdog import Watchdog
from regproxy.web.context import RequestContext
from regproxy.web.response_cache import CachedResponse, ResponseCache
from regproxy.web.responses import error_response

Handler: TypeAlias = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
ClientCheck: TypeAlias = Callable[[asyncio.BaseTransport], bool]

_log = logging.getLogger(__name__)

_END = b"\r\n\r\n"
_MAX_HEAD = 64 * 1024  # bytes: a Range of 1,024 parts takes 20 KiB, and some tokens as much
_RETRY_AFTER = 5  # seconds
_LONGEST = 2048  # bytes of a head that may be repeated; clients of registries send 200 to 500


class Connection(OpenRequestHandler):
    """A client's connection, which reports its events."""

    __slots__ = (
        "_budgeted",
        "_head_bytes",
        "_is_between",
        "_payload",
        "_server",
        "answered",
        "client",
        "is_told",
        "key_prefix",
        "known_client",
        "meter",
        "progress",
        "raw_request",
        "socket",
        "wire",
    )

    def __init__(self, server: "RegistryServer", client: str, **how: Any) -> None:  # noqa: ANN401  aiohttp's
        super().__init__(server, **how)
        self._server = server
        self.answered = 0
        self.client = client  # whose connection it is, where a proxy said so before its first byte; else the address that it comes from
        self.is_told = bool(client)
        self.known_client: str | None = client  # who asks; None: each request says it, and a trusted proxy sends it
        self.meter: Meter | None = None  # of the client, where it has a quota
        self.key_prefix = b""  # the certificate that the client has shown, by its digest, and the proxy that speaks for it
        self.raw_request: bytes | None = None  # the request that is being answered, where it came alone and in one piece
        self._is_between = True  # the parser has no part of a request
        self._head_bytes = 0  # of a head that has not ended
        self._budgeted = 0  # bytes of large heads that have not ended, or whose requests are not answered
        self._payload: StreamReader | None = None  # of the last request, where it has one
        self.wire: asyncio.Transport
        self.socket: socket.socket
        self.progress: SendProgress

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  a stream's
        self.wire = transport
        self.socket = transport.get_extra_info("socket")
        self.key_prefix = certificate_digest(transport)
        if not self.is_told:
            self.client = (transport.get_extra_info("peername") or ("",))[0]
        self.known_client = self.client
        if speaks_by_header(self._server.proxies, self.client):
            self.known_client, self.key_prefix = None, self.key_prefix + b"proxy " + self.client.encode()
        self._server.watchdog.opened(self)

    def data_received(self, data: bytes) -> None:
        """Answer a request that came before in the same bytes; what the parser would make of them now is what it made of them then."""
        is_next = self._is_between and self.is_waiting()
        if is_next and (answer := self._server.repeated(self, data)) is not None:
            self.restart_keepalive()
            self._repeat(answer, data)
            return
        self._server.watchdog.received(self)
        before, is_body = self.request_count, self._is_body_due
        super().data_received(data)
        if self.request_count == before:
            self._check_head(0 if is_body else len(data))
        else:
            self._budget(self._head_bytes + len(data))
            self._head_bytes, self._payload = 0, self.last_body()
        is_one = self.request_count == before + 1 and self._payload is None and not self.is_upgraded()
        self._is_between = is_one and _ends_a_head(data)
        self.raw_request = data if is_next and self._is_between else None
        if self.waiting_requests > 1:
            self.stop_reading()  # aiohttp would have 32 of them wait, of 64 KiB each

    @property
    def cache_key(self) -> bytes | None:
        """What the answer to the present request is remembered by, where the request came alone and in one piece."""
        return self._server.cache_key(self, self.raw_request) if self.raw_request is not None else None

    def _repeat(self, answer: CachedResponse, raw_request: bytes) -> None:
        """Send an answer at once; what the socket does not take of its small file waits in memory, which the watchdog counts."""
        try:
            if waiting := answer.send(self.wire):
                self._server.watchdog.lend(self, waiting)
        except OSError as error:
            self._server.failed(self, raw_request, error)
            self.force_close()

    @property
    def _is_body_due(self) -> bool:
        """Whether the body of the last request has not ended."""
        return self._payload is not None and not self._payload.is_eof()

    def _check_head(self, count: int) -> None:
        """Close a connection whose request head is too long: each of its fields is bounded, and so is all of it."""
        if self._is_body_due:
            return
        self._head_bytes += count
        if self._head_bytes > _MAX_HEAD:
            self._refuse(RegistryError("UNSUPPORTED", 431, f"the head of the request has more than {_MAX_HEAD} bytes"))
        else:
            self._budget(self._head_bytes)

    def _budget(self, size: int) -> None:
        """Count a head, or more of it, in the budget of all connections; end this one where that is too much."""
        wanted = max(size, self._budgeted) if size > LARGE else self._budgeted
        if self._server.heads.resize(self.client, self._budgeted, wanted):
            self._budgeted = wanted
        else:
            self._refuse(errors.unavailable("requests with large heads take too much memory", _RETRY_AFTER))

    def release_heads(self) -> None:
        """Count no head any longer, unless requests wait or one has begun."""
        if self._budgeted and self.request_count <= self.answered and not self._head_bytes:
            self._end_budget()

    def _end_budget(self) -> None:
        self._server.heads.resize(self.client, self._budgeted, 0)
        self._budgeted = 0

    def _refuse(self, error: RegistryError) -> None:
        """Answer before the request is read, and end the connection."""
        if self.wire.is_closing():
            return
        body = error.body()
        fields = {"Content-Type": "application/json", "Content-Length": str(len(body)), **error.headers, "Connection": "close"}
        head = "\r\n".join([f"HTTP/1.1 {error.status} {HTTPStatus(error.status).phrase}", *map(": ".join, fields.items())])
        self.wire.write(f"{head}\r\n\r\n".encode() + body)
        self.force_close()

    def eof_received(self) -> bool | None:  # type: ignore[override]
        """Let a client that will ask no more have its answer; one that left is noticed when it gets it. TLS has no half of an end."""
        is_owed = self.request_count > self.answered
        if is_owed and self.ssl_context is None:
            self.close()
            return True
        return None

    def connection_lost(self, exc: BaseException | None) -> None:
        self._end_budget()
        if self.meter is not None:
            self.meter.disconnect(self)
        self._server.watchdog.closed(self)
        super().connection_lost(exc)

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """Answer what is not HTTP; aiohttp logs a traceback for it, which is the client's to cause as often as it likes."""
        if status != HTTPStatus.BAD_REQUEST:
            return super().handle_error(request, status, exc, message)
        found = "https on a port of plain http" if "HTTPS traffic" in str(exc) else type(exc).__name__
        context = RequestContext(failure=f"invalid HTTP request: {found}")
        response = error_response(RegistryError("UNSUPPORTED", 400, "the request is not valid HTTP/1.1"))
        context.decorate(response.headers)
        response.force_close()
        AccessLogEntry(request, context, response).tell([(context.request_id, self.client, context.seconds)])
        return response


class RegistryServer(OpenServer):
    """Makes connections, and answers what comes on them."""

    def __init__(
        self,
        handler: Handler,
        timeouts: ClientTimeouts,
        cache: ResponseCache,
        clock: MonotonicClock = time.monotonic,
        is_trusted: ClientCheck | None = None,
        proxies: TrustedProxies | None = None,
    ) -> None:
        """Call *handler* for each request that *cache* cannot answer; a client that leaves cancels it, and nothing else.

        A connection whose client *is_trusted* no longer is closed at its next request. *proxies* are believed about who asks.
        """
        super().__init__(
            self._attending(handler),
            request_factory=self._asked,
            handler_cancellation=True,
            access_log=None,
            keepalive_timeout=timeouts.idle,
            max_line_size=_MAX_HEAD,
            max_field_size=_MAX_HEAD,
        )
        self.is_leaving = False  # then each answer says that it is the last on its connection
        self.watchdog = Watchdog(timeouts, clock)
        self.heads = HeadBudget()
        self._cache = cache
        self._is_trusted = is_trusted
        self.proxies = proxies

    def __call__(self, client: str = "") -> Connection:
        """Make a connection, of *client* where a proxy has said whose it is."""
        return Connection(self, client, **self.options())

    def repeated(self, connection: Connection, raw_request: bytes) -> CachedResponse | None:
        """Return the response to a repeated request, unless the client has yet to take another, or has to be told that we leave."""
        if self.is_leaving or connection.wire.get_write_buffer_size() or self.watchdog.owes(connection):
            return None
        if self._is_trusted is not None and not self._is_trusted(connection.wire):
            return None
        self.watchdog.returned(connection)
        answer = self._cache.answer(self.cache_key(connection, raw_request), connection.known_client, self.watchdog.lendable_bytes)
        if answer is not None:
            self.watchdog.answered(connection)
        return answer

    def cache_key(self, connection: Connection, raw_request: bytes) -> bytes:
        """Return what the answer to a request is remembered by: all of it, its `Authorization` too, and who sent it by other means."""
        return connection.key_prefix + raw_request if connection.key_prefix else raw_request

    def failed(self, connection: Connection, raw_request: bytes, error: OSError) -> None:
        """Read the file the ordinary way next time, which finds out what is wrong with it."""
        self._cache.forget(self.cache_key(connection, raw_request))
        _log.warning("cannot send cached file", extra=fields(reason=str(error)))

    def _asked(self, message: RawRequestMessage, *others: Any) -> web.BaseRequest:  # noqa: ANN401  aiohttp's
        ends = self.is_leaving or message.upgrade  # behind what we do not become, aiohttp reads no further request
        request = self.request_of(message._replace(should_close=True) if ends else message, *others)
        connection = request.protocol
        assert isinstance(connection, Connection)  # noqa: S101  we made it
        if connection.known_client is not None:
            return request.clone(remote=connection.client) if connection.is_told else request
        return named_by_header(request, self.proxies, connection.client)

    def _attending(self, handler: Handler) -> Handler:
        async def attend(request: web.BaseRequest) -> web.StreamResponse:
            connection = request.protocol
            assert isinstance(connection, Connection)  # noqa: S101  we made it
            self.watchdog.answering(connection)
            if self._is_trusted is not None and not self._is_trusted(connection.wire):
                connection.force_close()
                return web.Response(status=403)  # nobody gets it
            try:
                return await handler(request)
            except ConnectionError:
                if request.transport is not None and not request.transport.is_closing():
                    raise
                return web.Response()  # nobody gets it, and aiohttp logs no error
            finally:
                connection.raw_request = None
                connection.answered += 1
                connection.release_heads()
                self.watchdog.answered(connection)

        return attend


def _ends_a_head(data: bytes) -> bool:
    """Report whether there is nothing behind the first end of a head in *data*."""
    return data.find(_END, 0, _LONGEST) == len(data) - len(_END) >= 0


def cache_key_of(request: web.BaseRequest) -> bytes | None:
    """Return what the answer to a request that came alone and in one piece is remembered by."""
    connection = request.protocol
    return connection.cache_key if isinstance(connection, Connection) else None
