"""Closes connections of clients that take too long: aiohttp limits neither a request's head nor a response that goes unread.

Connections are checked, not responses: what a client has taken is what its kernel has acknowledged, whoever sent it and however. A check
costs two system calls, four times a minute and connection.
"""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

from regproxy.policy.clients.client_timeouts import ClientTimeouts, SendProgress
from regproxy.policy.clock import MonotonicClock
from regproxy.telemetry import metrics
from regproxy.web.connection.tcp_info import abort, acknowledged_bytes, unacknowledged_bytes

_MAX_LENT_BYTES = 16 * 1024 * 1024  # of files that wait in memory for clients, of a worker; beyond it they wait in their files


class Watched(Protocol):
    """A client's connection; *client* is who it is, for the limit of connections of one."""

    client: str
    wire: asyncio.Transport
    socket: socket.socket  # TLS may know it no longer before it says that the connection is lost
    progress: SendProgress

    def force_close(self) -> None: ...


class Watchdog:
    """The connections of a port: which owe the head of a request, which are idle, and how each takes what it is sent."""

    def __init__(self, timeouts: ClientTimeouts, clock: MonotonicClock = time.monotonic) -> None:
        self._timeouts = timeouts
        self._clock = clock
        self._heads: dict[Watched, float] = {}  # whose request's head is due, and since when; the longest first
        self._idle: dict[Watched, None] = {}  # the longest first
        self._checks: dict[Watched, float] = {}  # when each is checked next; the soonest first
        self._clients: dict[str, dict[Watched, None]] = {}  # their connections, the oldest first
        self._lent: dict[Watched, int] = {}  # bytes of files that wait in memory
        self._lent_bytes = 0  # in all

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Check the connections ten times within the shortest timeout."""
        task = asyncio.create_task(self._run())
        try:
            yield
        finally:
            task.cancel()

    def opened(self, connection: Watched) -> None:
        """Watch *connection*; beyond the limit of connections the one idle for longest is closed, of the client if the limit is its own."""
        now = self._clock()
        connection.progress = SendProgress(now)
        self._heads[connection] = now
        self._checks[connection] = now + self._timeouts.look
        own = self._clients.setdefault(connection.client, {})
        own[connection] = None
        if len(own) > self._timeouts.client_connections:
            self._close(next(each for each in own if each in self._idle or each in self._heads), "room")
        elif len(self._checks) > self._timeouts.connections:
            self._close(next(iter(self._idle or self._heads)), "room")

    def received(self, connection: Watched) -> None:
        """Record that a part of a request came."""
        if connection in self._idle:
            del self._idle[connection]
            self._heads[connection] = self._clock()

    def answering(self, connection: Watched) -> None:
        """Record that a request has been read."""
        self._heads.pop(connection, None)
        self._idle.pop(connection, None)

    def answered(self, connection: Watched) -> None:
        """Record that *connection* waits for its next request."""
        if connection in self._checks:
            self._heads.pop(connection, None)
            self._idle.pop(connection, None)
            self._idle[connection] = None

    def closed(self, connection: Watched) -> None:
        self.returned(connection)
        self.answering(connection)
        if self._checks.pop(connection, None) is not None:
            own = self._clients[connection.client]
            del own[connection]
            if not own:
                del self._clients[connection.client]

    @property
    def lendable_bytes(self) -> int:
        """How many bytes of files may yet wait in memory."""
        return _MAX_LENT_BYTES - self._lent_bytes

    def lend(self, connection: Watched, count: int) -> None:
        """Count *count* bytes of a file that wait in memory for the client."""
        self._lent[connection] = count
        self._lent_bytes += count

    def owes(self, connection: Watched) -> bool:
        """Report whether the client has yet to take some of what was lent to it."""
        return connection in self._lent and unacknowledged_bytes(connection.socket) > 0

    def returned(self, connection: Watched) -> None:
        """Record that none of them wait any more."""
        if self._lent:
            self._lent_bytes -= self._lent.pop(connection, 0)

    def check(self) -> None:
        """Close what has passed its timeout."""
        now = self._clock()
        while self._heads and (longest := next(iter(self._heads.items())))[1] + self._timeouts.head <= now:
            self._close(longest[0], "head")
        while self._checks and (next_one := next(iter(self._checks.items())))[1] <= now:
            self._check(next_one[0], now)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(min(self._timeouts.head, self._timeouts.progress) / 10)
            self.check()

    def _check(self, connection: Watched, now: float) -> None:
        del self._checks[connection]
        self._checks[connection] = now + self._timeouts.look
        sock, wire = connection.socket, connection.wire
        if sock.fileno() < 0:
            return
        # What a closed one has in memory waits behind what is not acknowledged; TLS that was closed twice cannot tell.
        waiting = unacknowledged_bytes(sock) + (0 if wire.is_closing() else wire.get_write_buffer_size())
        if not waiting:
            self.returned(connection)
        if connection.progress.stuck_for(now, acknowledged_bytes(sock), waiting) >= self._timeouts.progress:
            metrics.CLIENTS_DROPPED.labels("progress").inc()
            abort(sock)

    def _close(self, connection: Watched, reason: str) -> None:
        metrics.CLIENTS_DROPPED.labels(reason).inc()
        self.answering(connection)
        connection.force_close()
