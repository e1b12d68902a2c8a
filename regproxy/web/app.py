"""The registry port's server: one handler for every path, because no path is trusted to a router that decodes it."""

import asyncio
import resource
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from socket import socket

from aiohttp import web
from aiohttp.typedefs import Middleware

from regproxy.config.tls import ServerTls
from regproxy.policy.clients.client_timeouts import ClientTimeouts
from regproxy.policy.clients.forwarded import TrustedProxies
from regproxy.telemetry import metrics
from regproxy.web.connection.admin_server import admin_runner
from regproxy.web.connection.aiohttp_parts import TimedSite, close_idle
from regproxy.web.connection.metered_server import MeteredServer
from regproxy.web.connection.server import ClientCheck, RegistryServer
from regproxy.web.handlers import Handlers
from regproxy.web.middleware import observed
from regproxy.web.response_cache import ResponseCache
from regproxy.web.tls import Certificates

_AT_ONCE = 64  # connections accepted in one turn of the loop: asyncio takes as many as it believes the backlog to be
_BACKLOG = 4096  # a mass restart connects all at once; the kernel caps it at somaxconn
_LAST_REQUEST = 1.0  # seconds; a connection that is quiet for longer is closed without having said so
_LOOK = 0.01  # seconds
_ADMIN = ClientTimeouts(connections=256, client_connections=128)  # kubelet and Prometheus keep one each, a page some
_OTHER_FILES = 1024  # descriptors that clients leave to content, upstreams and ourselves


@asynccontextmanager
async def registry_port(
    handlers: Handlers,
    listeners: Sequence[socket],
    drain: float,
    tls: ServerTls | None = None,
    timeouts: ClientTimeouts | None = None,
    proxies: TrustedProxies | None = None,
) -> AsyncIterator[RegistryServer]:
    """Serve the registry API at sockets that are closed in the end; then responses may take *drain* seconds to finish.

    Give who watches its clients; *proxies* are believed about who they are.
    A connection is told that it ends by the last answer on it: one that is just closed may have a request on
    its way.
    """
    cache = ResponseCache()
    certificates = Certificates(tls, report_end=metrics.CERTIFICATE_ENDS.labels("registry").set) if tls else None
    meters = handlers.entrance.meters
    make = RegistryServer if meters is None else partial(MeteredServer, meters)
    server = make(observed(handlers, cache), timeouts or _timeouts(), cache, is_trusted=_client_check(certificates), proxies=proxies)
    runner = web.ServerRunner(server, shutdown_timeout=drain)
    async with server.watchdog.running(), _listening(runner, listeners, certificates, proxies):
        yield server
        server.is_leaving = True
        for site in list(runner.sites):
            await site.stop()
        await _left(server, min(_LAST_REQUEST, drain))


@asynccontextmanager
async def admin_port(
    app: web.Application, listeners: Sequence[socket], tls: ServerTls | None = None, drain: float = 0.0
) -> AsyncIterator[None]:
    """Serve the admin application at sockets that are closed in the end; then answers may take *drain* seconds, unless we are cancelled.

    A client that is slow, or has too many connections, is ended as at the registry port.
    """
    certificates = Certificates(tls, report_end=metrics.CERTIFICATE_ENDS.labels("admin").set) if tls else None
    if (is_trusted := _client_check(certificates)) is not None:
        app.middlewares.insert(0, _only(is_trusted))
    runner = admin_runner(app, _ADMIN)
    async with _listening(runner, listeners, certificates), runner.served.watchdog.running():
        yield
        for site in list(runner.sites):
            await site.stop()
        close_idle(runner.served)
        await _left(runner.served, drain)


@asynccontextmanager
async def _listening(
    runner: web.BaseRunner, listeners: Sequence[socket], certificates: Certificates | None, proxies: TrustedProxies | None = None
) -> AsyncIterator[None]:
    await runner.setup()
    try:
        context = certificates.context if certificates else None
        for each in listeners:
            head = ClientTimeouts().head
            site = TimedSite(runner, each, handshake_timeout=head, proxies=proxies, backlog=_AT_ONCE, ssl_context=context)
            await site.start()
            each.listen(_BACKLOG)
        yield
    finally:
        await runner.cleanup()


def _client_check(certificates: Certificates | None) -> ClientCheck | None:
    """Return whom to ask with each request whether its client may go on, where clients have to be vouched for."""
    return certificates.is_trusted if certificates is not None and certificates.asks_clients else None


def _only(is_trusted: ClientCheck) -> Middleware:
    """Make the middleware that ends the connection of a client that is no longer trusted; to begin anew is its own affair."""

    @web.middleware
    async def end(request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> web.StreamResponse:
        if request.transport is None or is_trusted(request.transport):
            return await handler(request)
        request.protocol.force_close()
        return web.Response(status=403)  # nobody gets it

    return end


async def _left(server: web.Server, within: float) -> None:
    """Wait until every connection has ended, but no longer than clients that go on asking need."""
    until = time.monotonic() + within
    while server.connections and time.monotonic() < until:  # noqa: ASYNC110 -- aiohttp tells nobody
        await asyncio.sleep(_LOOK)


def _timeouts() -> ClientTimeouts:
    """Allow as many connections as our descriptors do."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return ClientTimeouts(connections=max(files - _OTHER_FILES, files // 2))
