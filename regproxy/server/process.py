"""A worker process, as its supervisor sees it: it is told its settings and its listening sockets over a socket, and dies with us."""

import asyncio
import contextlib
import logging
import os
import pickle
import signal
import threading
from collections.abc import Coroutine, Mapping, Sequence
from socket import send_fds
from typing import Any

from regproxy.config import Settings
from regproxy.fleet.memory import SharedFleet
from regproxy.fleet.rpc import SupervisorServer
from regproxy.policy.fleet.traffic import Traffic
from regproxy.policy.heartbeat import Heartbeat
from regproxy.server.base_worker import Start, Worker
from regproxy.server.child import Child, executed
from regproxy.server.limits import processor_seconds
from regproxy.server.sockets import Listeners
from regproxy.server.status import WorkerStatus
from regproxy.telemetry import metrics
from regproxy.telemetry.log import fields

SIZE = 8  # bytes of the length of the settings, which follow it

_log = logging.getLogger(__name__)


class WorkerProcess(Worker):
    """A worker in a process of its own."""

    def __init__(self, child: Child, settings: Settings, listeners: Listeners, fleet: SharedFleet, traffic: Traffic) -> None:
        """Let *child* serve with *settings* at *listeners*; *fleet* answers what it asks, and *traffic* counts what it reports."""
        super().__init__(child.name, child.pid, traffic)
        self._line = child.line
        self._heartbeat = Heartbeat()
        self.ended = asyncio.create_task(self._live(self._serve(settings, listeners, fleet)), name=f"worker {self.name}")

    def beat(self) -> None:
        if self._heartbeat.missed(processor_seconds(self.pid)) and not self.is_silent:
            self.is_silent = True
            _log.error("killed hung worker", extra=fields(worker=self.name, process=self.pid, heartbeat=repr(self._heartbeat)))
            self.kill()

    def leave(self) -> None:
        self._signal(signal.SIGTERM)

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
        await SupervisorServer(fleet, self._read, fleet.key_values).serve(self._line)

    def _read(self, document: Mapping[str, Any]) -> None:
        self._heartbeat.reported()
        self._hear(WorkerStatus.parse(document))

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


def processes(children: Sequence[Child], fleet: SharedFleet) -> Start:
    """Return what starts workers that share through *fleet*: the *children* first, then others that are executed."""
    waiting = list(children)

    def start(name: str, settings: Settings, listeners: Listeners, traffic: Traffic) -> Worker:
        return WorkerProcess(waiting.pop(0) if waiting else executed(name), settings, listeners, fleet, traffic)

    return start
