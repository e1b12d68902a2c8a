"""Clients that make us wait: aiohttp limits neither how long a request's head may take nor how long a response may go unread.

Connections are watched, not responses: what a client has taken is what its kernel has acknowledged, whoever sent it and however. A look
costs two system calls, four times a minute and connection.
"""

import asyncio
import fcntl
import logging
import socket
import struct
import termios
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from http import HTTPStatus
from typing import Any, TypeAlias

from aiohttp import web
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from aiohttp.web_protocol import RequestHandler

from regproxy.oci.errors import RegistryError
from regproxy.policy.client_timeouts import ClientTimeouts, SendProgress
from regproxy.policy.clock import MonotonicClock
from regproxy.ports import Extent
from regproxy.telemetry import metrics
from regproxy.telemetry.log import fields
from regproxy.web.access_log import AccessLogEntry
from regproxy.web.buffered import read_whole, send_now
from regproxy.web.context import RequestContext
from regproxy.web.response_cache import CachedResponse, ResponseCache
from regproxy.web.responses import error_response

Handler: TypeAlias = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
Vouches: TypeAlias = Callable[[asyncio.BaseTransport], bool]

_log = logging.getLogger(__name__)

_END = b"\r\n\r\n"
_MAX_HEAD = 64 * 1024  # bytes: a Range of 1,024 parts takes 20 KiB, and some tokens as much
_LONGEST = 2048  # bytes of a head that may be repeated; clients of registries send 200 to 500
_BYTES_ACKED = 120  # offset in Linux's struct tcp_info (include/uapi/linux/tcp.h); 64 bits
_MAX_LENT_BYTES = 16 * 1024 * 1024  # of files that wait in memory for clients, of a worker; beyond it they wait in their files
_INFO_SIZE = _BYTES_ACKED + 8


class Connection(RequestHandler):
    """A client's connection, which tells what happens to it."""

    __slots__ = ("_head_bytes", "_is_between", "_payload", "_watch", "answered", "client", "progress", "raw_request", "wire")

    def __init__(self, watch: "Watch", **how: Any) -> None:  # noqa: ANN401  aiohttp's
        super().__init__(watch, **how)
        self._msg_queue_resume_size = 0  # aiohttp's: it reads on when so many requests wait
        self._watch = watch
        self.answered = 0
        self.client = ""
        self.raw_request: bytes | None = None  # the request that is being answered, where it came alone and in one piece
        self._is_between = True  # the parser has no part of a request
        self._head_bytes = 0  # of a head that has not ended
        self._payload: StreamReader | None = None  # of the last request
        self.wire: asyncio.Transport
        self.progress: SendProgress

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  a stream's
        self.wire = transport
        self.client = (transport.get_extra_info("peername") or ("",))[0]
        self._watch.opened(self)

    def data_received(self, data: bytes) -> None:
        """Answer what was asked before in the same raw_request; what the parser would make of them now is what it made of them then."""
        is_next = self._is_between and self._waiter is not None and not self._waiter.done()
        if is_next and (answer := self._watch.repeated(self, data)) is not None:
            self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
            self.wire.write(answer.written)
            if answer.file is not None:
                self._send_file(answer.file, data)
            return
        self._watch.received(self)
        before = self._request_count
        super().data_received(data)
        if self._request_count == before:
            self._check_head(len(data))
        else:
            self._head_bytes, self._payload = 0, self._messages[-1][1]
        is_one = self._request_count == before + 1 and self._messages[-1][1] is EMPTY_PAYLOAD and not self._upgraded
        self._is_between = is_one and _ends_a_head(data)
        self.raw_request = data if is_next and self._is_between else None
        if len(self._messages) > 1 and not self._buffer_paused:
            self._pause_reading_for_buffer()  # aiohttp would have 32 of them wait, of 64 KiB each

    def _send_file(self, file: Extent, raw_request: bytes) -> None:
        """Send a small file at once; what the socket does not take waits in memory, which the watch lends."""
        try:
            sent = send_now(self.wire, file)
            if sent < file.length:
                self.wire.write(read_whole(replace(file, offset=file.offset + sent, length=file.length - sent)))
                self._watch.lend(self, file.length - sent)
        except OSError as error:
            self._watch.failed(raw_request, error)
            self.force_close()

    def _check_head(self, count: int) -> None:
        """End a connection whose request's head goes on for too long: each of its fields is bounded, and so is all of it."""
        if self._payload is not None and self._payload is not EMPTY_PAYLOAD and not self._payload.is_eof():
            return
        self._head_bytes += count
        if self._head_bytes > _MAX_HEAD and not self.wire.is_closing():
            body = RegistryError("UNSUPPORTED", 431, f"the head of the request has more than {_MAX_HEAD} bytes").body()
            head = f"HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
            self.wire.write(f"{head}\r\nConnection: close\r\n\r\n".encode() + body)
            self.force_close()

    def eof_received(self) -> bool | None:  # type: ignore[override]
        """Let a client that will ask no more have its answer; one that left is noticed when it gets it. TLS has no half of an end."""
        is_owed = self._request_count > self.answered
        if is_owed and self.ssl_context is None:
            self.close()
            return True
        return None

    def connection_lost(self, exc: BaseException | None) -> None:
        self._watch.closed(self)
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
        AccessLogEntry(request, context, response).tell(context.request_id, self.client, context.seconds)
        return response


class Watch(web.Server):
    """The server of a port: who owes us the head of a request, who is idle, and how all of them take what they are sent."""

    def __init__(
        self,
        handler: Handler,
        timeouts: ClientTimeouts,
        cache: ResponseCache,
        clock: MonotonicClock = time.monotonic,
        vouches: Vouches | None = None,
    ) -> None:
        """Call *handler* for each request that *cache* cannot answer; a client that leaves cancels it, and nothing else.

        A connection that *vouches* says no to is ended at its next request.
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
        self._timeouts = timeouts
        self._cache = cache
        self._clock = clock
        self._vouches = vouches
        self._owing: dict[Connection, float] = {}  # since when; the longest first
        self._lent: dict[Connection, int] = {}  # bytes
        self._lent_bytes = 0  # in all
        self._idle: dict[Connection, None] = {}  # the longest first
        self._looks: dict[Connection, float] = {}  # when to look at it next; the soonest first

    def __call__(self) -> Connection:
        return Connection(self, loop=self._loop, **self._kwargs)

    @asynccontextmanager
    async def looking(self) -> AsyncIterator[None]:
        """Look at the connections, ten times in the time that the shortest limit has."""
        task = asyncio.create_task(self._look_for_ever())
        try:
            yield
        finally:
            task.cancel()

    def opened(self, connection: Connection) -> None:
        now = self._clock()
        connection.progress = SendProgress(now)
        self._owing[connection] = now
        self._looks[connection] = now + self._timeouts.look
        if len(self._looks) > self._timeouts.connections:
            self._make_room()

    def received(self, connection: Connection) -> None:
        if connection in self._idle:
            del self._idle[connection]
            self._owing[connection] = self._clock()

    def repeated(self, connection: Connection, raw_request: bytes) -> CachedResponse | None:
        """Give the answer to what was answered before, unless the client has yet to take another, or has to be told that we leave."""
        if self.is_leaving or connection.wire.get_write_buffer_size():
            return None
        if self._vouches is not None and not self._vouches(connection.wire):
            return None
        self._taken(connection)
        answer = self._cache.answer(raw_request, connection.client, _MAX_LENT_BYTES - self._lent_bytes)
        if answer is not None:
            self._owing.pop(connection, None)
            self._idle.pop(connection, None)
            self._idle[connection] = None
        return answer

    def lend(self, connection: Connection, count: int) -> None:
        """Count *count* bytes of a file that wait in memory for the client."""
        self._lent[connection] = count
        self._lent_bytes += count

    def failed(self, raw_request: bytes, error: OSError) -> None:
        """Read the file the ordinary way next time, which finds out what is wrong with it."""
        self._cache.forget(raw_request)
        _log.warning("a cached file could not be sent", extra=fields(reason=str(error)))

    def _taken(self, connection: Connection) -> None:
        self._lent_bytes -= self._lent.pop(connection, 0)

    def closed(self, connection: Connection) -> None:
        self._taken(connection)
        self._owing.pop(connection, None)
        self._idle.pop(connection, None)
        self._looks.pop(connection, None)

    def look(self) -> None:
        """Drop whoever has made us wait too long."""
        now = self._clock()
        while self._owing and (longest := next(iter(self._owing.items())))[1] + self._timeouts.head <= now:
            self._leave(longest[0], "head")
        while self._looks and (next_one := next(iter(self._looks.items())))[1] <= now:
            self._look_at(next_one[0], now)

    def _asked(self, message: RawRequestMessage, *others: Any) -> web.BaseRequest:  # noqa: ANN401  aiohttp's
        ends = self.is_leaving or message.upgrade  # behind what we do not become, aiohttp reads no further request
        return self._make_request(message._replace(should_close=True) if ends else message, *others)

    def _attending(self, handler: Handler) -> Handler:
        async def attend(request: web.BaseRequest) -> web.StreamResponse:
            connection = request.protocol
            assert isinstance(connection, Connection)  # noqa: S101  we made it
            self._owing.pop(connection, None)
            self._idle.pop(connection, None)
            if self._vouches is not None and not self._vouches(connection.wire):
                connection.force_close()
                return web.Response(status=403)  # nobody gets it
            try:
                return await handler(request)
            finally:
                connection.raw_request = None
                connection.answered += 1
                if connection in self._looks:
                    self._idle[connection] = None

        return attend

    async def _look_for_ever(self) -> None:
        while True:
            await asyncio.sleep(min(self._timeouts.head, self._timeouts.progress) / 10)
            self.look()

    def _look_at(self, connection: Connection, now: float) -> None:
        del self._looks[connection]
        sock = connection.wire.get_extra_info("socket")
        if not (unsent := connection.wire.get_write_buffer_size()):
            self._taken(connection)
        waiting = unsent + _unacknowledged(sock)
        if connection.progress.stuck_for(now, _acknowledged(sock), waiting) >= self._timeouts.progress:
            metrics.CLIENTS_DROPPED.labels("progress").inc()
            _cut(sock)
        self._looks[connection] = now + self._timeouts.look

    def _make_room(self) -> None:
        """Let go of whoever needs its connection least."""
        self._leave(next(iter(self._idle or self._owing)), "room")

    def _leave(self, connection: Connection, reason: str) -> None:
        metrics.CLIENTS_DROPPED.labels(reason).inc()
        self._owing.pop(connection, None)
        self._idle.pop(connection, None)
        connection.force_close()


def _ends_a_head(data: bytes) -> bool:
    """Say whether there is nothing behind the first end of a head in *data*."""
    return data.find(_END, 0, _LONGEST) == len(data) - len(_END) >= 0


def raw_request_of(request: web.BaseRequest) -> bytes | None:
    """Give the bytes of a request that came alone and in one piece."""
    connection = request.protocol
    return connection.raw_request if isinstance(connection, Connection) else None


def _acknowledged(sock: socket.socket) -> int:
    count: int = struct.unpack_from("Q", sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_SIZE), _BYTES_ACKED)[0]
    return count


def _unacknowledged(sock: socket.socket) -> int:
    count: int = struct.unpack("i", fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4)))[0]
    return count


def _cut(sock: socket.socket) -> None:
    """End a connection that cannot be closed, as its client takes nothing; whoever is sending gets an error, not a closed descriptor."""
    with suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # what was not taken is dropped
        sock.shutdown(socket.SHUT_RDWR)
