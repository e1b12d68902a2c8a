"""The registry port's server: one handler for every path, because no path is trusted to a router that decodes it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from regproxy.web.handlers import Handlers
from regproxy.web.middleware import observed

_IDLE = 75.0  # seconds; Go's clients give up idle connections after 30, and the side that waits longer never closes under a request
_BACKLOG = 4096  # a mass restart connects all at once; the kernel caps it at somaxconn


@asynccontextmanager
async def registry_port(handlers: Handlers, host: str, port: int, drain: float) -> AsyncIterator[int]:
    """Serve the registry API and give the port; in the end let responses finish within *drain* seconds.

    A client that leaves cancels its handler, and nothing else.
    """
    server = web.Server(observed(handlers), handler_cancellation=True, keepalive_timeout=_IDLE, access_log=None)
    async with _listening(web.ServerRunner(server, shutdown_timeout=drain), host, port) as bound:
        yield bound


@asynccontextmanager
async def admin_port(app: web.Application, host: str, port: int) -> AsyncIterator[int]:
    """Serve the admin application and give the port."""
    async with _listening(web.AppRunner(app, access_log=None, shutdown_timeout=1.0), host, port) as bound:
        yield bound


@asynccontextmanager
async def _listening(runner: web.BaseRunner, host: str, port: int) -> AsyncIterator[int]:
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, backlog=_BACKLOG).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()
