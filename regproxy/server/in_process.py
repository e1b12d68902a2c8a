"""A worker in the supervisor's process, where there is one alone: what another process takes, a machine with little memory has not.

Nobody watches it: what hangs the loop hangs the supervisor too, and whoever has started the process ends it (systemd's watchdog, the
kubelet's liveness probe). What kills it kills all. A successor begins beside it, as beside a worker in a process of its own.
"""

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from regproxy.config import Settings
from regproxy.fleet.memory import SharedFleet
from regproxy.policy.fleet.traffic import Traffic
from regproxy.ports import StoreError
from regproxy.server import gc
from regproxy.server.answering import answering
from regproxy.server.base_worker import Start, Worker
from regproxy.server.sockets import Listeners
from regproxy.telemetry import log, tracing
from regproxy.telemetry.log import fields
from regproxy.web.connection.server import RegistryServer
from regproxy.wiring.running import running

_FAILED, _KILLED = 1, -9  # statuses as those of processes

_log = logging.getLogger(__name__)


class InProcessWorker(Worker):
    """A worker in this process."""

    def __init__(
        self, name: str, settings: Settings, listeners: Listeners, traffic: Traffic, fleet: SharedFleet, servers: set[RegistryServer]
    ) -> None:
        """Serve with *settings* at *listeners*, share through *fleet*, and be among *servers* meanwhile; *traffic* counts."""
        super().__init__(name, os.getpid(), traffic)
        self._settings = settings
        self._fleet = fleet
        self._servers = servers
        self._leaving = asyncio.Event()
        self._serving = asyncio.create_task(self._serve([each.dup() for each in listeners]), name=f"worker {name} serves")
        self.ended = asyncio.create_task(self._live(), name=f"worker {name}")

    def beat(self) -> None:
        """Count nothing: who counts would stand still as well."""

    def leave(self) -> None:
        self._leaving.set()

    def kill(self) -> None:
        self._serving.cancel()

    async def _serve(self, listeners: Listeners) -> None:
        settings, fleet = self._settings, self._fleet
        async with answering(settings, listeners, fleet, fleet.key_values, self._hear) as server:
            log.reconfigure(settings.log_level, settings.log_format)
            self._servers.add(server)
            try:
                await self._leaving.wait()
            finally:
                self._servers.discard(server)

    async def _live(self) -> int:
        await asyncio.wait({self._serving})
        if self._serving.cancelled():
            return _KILLED
        error = self._serving.exception()
        if error is not None:
            is_known = isinstance(error, StoreError | OSError)
            _log.error("a worker cannot serve", extra=fields(reason=str(error)), exc_info=None if is_known else error)
        return 0 if error is None else _FAILED


@asynccontextmanager
async def in_process(fleet: SharedFleet) -> AsyncIterator[Start]:
    """Give what starts workers in this process, which share through *fleet*; garbage is looked for by the clock meanwhile."""
    servers: set[RegistryServer] = set()

    def start(name: str, settings: Settings, listeners: Listeners, traffic: Traffic) -> Worker:
        return InProcessWorker(name, settings, listeners, traffic, fleet, servers)

    collecting = gc.collect(lambda: sum(len(each.connections) for each in servers))
    async with tracing.exporting(os.environ), running(collecting):
        yield start
