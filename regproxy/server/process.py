"""A worker process, as its supervisor sees it: it is told its settings and its listening sockets over a socket, and dies with us."""

import asyncio
import contextlib
import logging
import os
import pickle
import signal
import threading
import time
from collections.abc import Coroutine, Mapping
from socket import send_fds
from typing import Any

from regproxy.config import Settings
from regproxy.fleet.memory import SharedFleet
from regproxy.fleet.rpc import SupervisorServer
from regproxy.policy.fleet.traffic import Traffic
from regproxy.policy.heartbeat import Heartbeat
from regproxy.server.child import Child
from regproxy.server.limits import processor_seconds
from regproxy.server.sockets import Listeners
from regproxy.server.status import WorkerStatus
from regproxy.telemetry import metrics
from regproxy.telemetry.log import fields

BEAT = 1.0  # seconds between two reports of a worker
SIZE = 8  # bytes of the length of the settings, which follow it
_AFTER_DRAIN = 5.0  # seconds beside those that responses and fills are given

_log = logging.getLogger(__name__)


class WorkerProcess:
    """One worker, from its birth to its end."""

    def __init__(self, child: Child, settings: Settings, listeners: Listeners, fleet: SharedFleet, traffic: Traffic) -> None:
        """Let *child* serve with *settings* at *listeners*; *fleet* answers what it asks, and *traffic* counts what it reports."""
        self.name = child.name
        self.pid = child.pid
        self.report: WorkerStatus | None = None
        self.is_silent = False
        self.born_at = time.monotonic()
        self._line = child.line
        self._traffic = traffic
        self._heartbeat = Heartbeat()
        self._accepting = asyncio.Event()
        self.ended = asyncio.create_task(self._live(self._serve(settings, listeners, fleet)), name=f"worker {self.name}")

    def __repr__(self) -> str:
        return f"<WorkerProcess {self.name}, process {self.pid}>"

    @property
    def is_accepting(self) -> bool:
        return self._accepting.is_set() and not self.ended.done()

    async def accepts(self, within: float) -> bool:
        """Wait until it accepts clients, and report whether it came to that."""
        accepting = asyncio.create_task(self._accepting.wait())
        await asyncio.wait({accepting, self.ended}, timeout=within, return_when=asyncio.FIRST_COMPLETED)
        accepting.cancel()
        return self.is_accepting

    def beat(self) -> None:
        """Count a beat of ours, and end a worker that has missed too many."""
        if self._heartbeat.missed(processor_seconds(self.pid)) and not self.is_silent:
            self.is_silent = True
            _log.error("killed hung worker", extra=fields(worker=self.name, process=self.pid, heartbeat=repr(self._heartbeat)))
            self.kill()

    async def drain(self, grace: float) -> None:
        """Let the worker finish within *grace* seconds for responses and as much again for fills, then kill it."""
        self._signal(signal.SIGTERM)
        await asyncio.wait({self.ended}, timeout=2 * grace + _AFTER_DRAIN)
        self.kill()
        await asyncio.wait({self.ended})

    def kill(self) -> None:
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if not self.ended.done():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    async def _serve(self, settings: Settings, listeners: Listeners, fleet: SharedFleet) -> None:
        """Tell it what to do, then answer it."""
        send_fds(self._line, [b"\0"], [each.fileno() for each in listeners])
        told = pickle.dumps(settings)
        self._line.settimeout(0)
        await asyncio.get_running_loop().sock_sendall(self._line, len(told).to_bytes(SIZE) + told)
        await SupervisorServer(fleet, self._hear, fleet.key_values).serve(self._line)

    def _hear(self, document: Mapping[str, Any]) -> None:
        self._heartbeat.reported()
        self.report = WorkerStatus.parse(document)
        self._traffic.add(self.report.moved)
        if self.report.is_accepting:
            self._accepting.set()

    async def _live(self, serving: Coroutine[Any, Any, None]) -> int:
        answering = asyncio.create_task(serving)
        status = await _status(self.pid)
        answering.cancel()
        await asyncio.gather(answering, return_exceptions=True)
        self._line.close()
        metrics.forget_process(self.name)
        return status


async def _status(pid: int) -> int:
    """Wait until a child ends, in a thread: not every kernel that we run on has descriptors of processes; return its exit status."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[int] = loop.create_future()

    def wait() -> None:
        _, status = os.waitpid(pid, 0)
        with contextlib.suppress(RuntimeError):  # we end, and so does the loop
            loop.call_soon_threadsafe(_settle, ended, os.waitstatus_to_exitcode(status))

    threading.Thread(target=wait, name=f"process {pid}", daemon=True).start()
    return await ended


def _settle(ended: asyncio.Future[int], status: int) -> None:
    if not ended.done():
        ended.set_result(status)
