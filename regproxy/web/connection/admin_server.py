"""The server of the admin port: aiohttp's for an application, with its connections watched as the registry port's are."""

import asyncio
import socket
from typing import Any

from aiohttp import web

from regproxy.policy.clients.client_timeouts import ClientTimeouts, SendProgress
from regproxy.policy.clients.sharing import client_key
from regproxy.web.connection.aiohttp_parts import ApplicationRunner, OpenRequestHandler, OpenServer
from regproxy.web.connection.watchdog import Watchdog


class AdminConnection(OpenRequestHandler):
    """A connection to the admin port, which reports its events."""

    __slots__ = ("_server", "client", "progress", "socket", "wire")

    def __init__(self, server: "AdminServer", **how: Any) -> None:  # noqa: ANN401  aiohttp's
        super().__init__(server, **how)
        self._server = server
        self.client = ""
        self.wire: asyncio.Transport
        self.socket: socket.socket
        self.progress: SendProgress

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  a stream's
        self.wire = transport
        self.socket = transport.get_extra_info("socket")
        self.client = client_key((transport.get_extra_info("peername") or ("",))[0])
        self._server.watchdog.opened(self)

    def data_received(self, data: bytes) -> None:
        self._server.watchdog.received(self)
        super().data_received(data)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._server.watchdog.closed(self)
        super().connection_lost(exc)


class AdminServer(OpenServer):
    """Makes connections to the admin port."""

    def __init__(self, server: web.Server, timeouts: ClientTimeouts, **how: Any) -> None:  # noqa: ANN401  aiohttp's
        """Handle requests as *server*, an application's, does; close the connections that *timeouts* does not allow."""
        super().__init__(self._attend, request_factory=server.request_factory, keepalive_timeout=timeouts.idle, **how)
        self.watchdog = Watchdog(timeouts)
        self._handler = server.request_handler

    def __call__(self) -> AdminConnection:
        return AdminConnection(self, **self.options())

    async def _attend(self, request: web.BaseRequest) -> web.StreamResponse:
        connection = request.protocol
        assert isinstance(connection, AdminConnection)  # noqa: S101  we made it
        self.watchdog.answering(connection)
        try:
            return await self._handler(request)
        finally:
            self.watchdog.answered(connection)


def admin_runner(app: web.Application, timeouts: ClientTimeouts) -> ApplicationRunner[AdminServer]:
    """Run *app* at connections that keep to *timeouts*."""
    return ApplicationRunner(app, lambda server: AdminServer(server, timeouts, access_log=None), shutdown_timeout=1.0)
