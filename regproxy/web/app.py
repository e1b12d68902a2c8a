"""The registry port's server: one handler for every path, because no path is trusted to a router that decodes it."""

import resource
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from regproxy.config.tls import ServerTls
from regproxy.policy.patience import Patience
from regproxy.web.attention import Watch
from regproxy.web.handlers import Handlers
from regproxy.web.middleware import observed
from regproxy.web.tls import Certificates

_BACKLOG = 4096  # a mass restart connects all at once; the kernel caps it at somaxconn
_OTHER_FILES = 1024  # descriptors that clients leave to content, upstreams and ourselves


@asynccontextmanager
async def registry_port(
    handlers: Handlers, host: str, port: int, drain: float, tls: ServerTls | None = None, patience: Patience | None = None
) -> AsyncIterator[int]:
    """Serve the registry API and give the port; in the end let responses finish within *drain* seconds."""
    watch = Watch(observed(handlers), patience or _patience())
    async with watch.looking(), _listening(web.ServerRunner(watch, shutdown_timeout=drain), host, port, tls) as bound:
        yield bound


@asynccontextmanager
async def admin_port(app: web.Application, host: str, port: int, tls: ServerTls | None = None) -> AsyncIterator[int]:
    """Serve the admin application and give the port."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0, keepalive_timeout=Patience().idle)
    async with _listening(runner, host, port, tls) as bound:
        yield bound


@asynccontextmanager
async def _listening(runner: web.BaseRunner, host: str, port: int, tls: ServerTls | None) -> AsyncIterator[int]:
    await runner.setup()
    try:
        context = Certificates(tls).context if tls else None
        await web.TCPSite(runner, host, port, backlog=_BACKLOG, ssl_context=context).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


def _patience() -> Patience:
    """Have as many connections as our descriptors allow."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return Patience(connections=max(files - _OTHER_FILES, files // 2))
