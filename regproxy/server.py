"""The process: it listens on both ports, watches its own loop, and at SIGTERM lets responses and fills come to their end."""

import asyncio
import logging
import resource
import signal
import time

from regproxy import __version__, log, metrics
from regproxy.config import Settings
from regproxy.config.tls import cautions
from regproxy.log import fields
from regproxy.web.admin import admin_app
from regproxy.web.app import admin_port, registry_port
from regproxy.wiring import assembled

_BEAT = 0.5  # seconds between two looks at the loop's lag

_log = logging.getLogger(__name__)


def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT."""
    log.configure(settings.log_level)
    _raise_file_limit()
    asyncio.run(_serve(settings))


async def _serve(settings: Settings) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    beat = asyncio.create_task(_watch_loop())
    for caution in cautions(settings.tls, settings.admin_tls):
        _log.warning("clients will not accept us", extra=fields(reason=caution))
    async with (
        assembled(settings) as proxy,
        admin_port(
            admin_app(proxy.store, proxy.registries, proxy.freezes, proxy.explainer, proxy.holdings),
            settings.admin_listen.host,
            settings.admin_listen.port,
            settings.admin_tls,
        ),
        registry_port(proxy.handlers, settings.listen.host, settings.listen.port, settings.drain, settings.tls),
    ):
        _log.info("serving", extra=fields(version=__version__, listen=str(settings.listen), admin=str(settings.admin_listen)))
        await stop.wait()
        _log.info("draining", extra=fields(fills=len(proxy.fills), grace=settings.drain))
    beat.cancel()
    _log.info("stopped")


async def _watch_loop() -> None:
    while True:
        before = time.monotonic()
        await asyncio.sleep(_BEAT)
        metrics.LOOP_LAG.set(max(0.0, time.monotonic() - before - _BEAT))


def _raise_file_limit() -> None:
    """Take all the descriptors we may have: each client and each open blob is one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
