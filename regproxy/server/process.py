"""A worker process, as its supervisor sees it.

It is spawned and not forked: it shares no memory, lock or thread with us. It inherits its listening sockets and a socket to us, is told
its settings over its standard input, and dies with us.
"""

import asyncio
import contextlib
import logging
import os
import pickle
import sys
import time
from collections.abc import Coroutine, Mapping
from socket import socket, socketpair
from typing import Any, Self

from regproxy import __version__
from regproxy.config import Settings
from regproxy.fleet.rpc import SupervisorServer
from regproxy.policy.heartbeat import Heartbeat
from regproxy.ports import Fleet
from regproxy.server.limits import processor_seconds
from regproxy.server.sockets import Listeners
from regproxy.server.status import WorkerStatus
from regproxy.telemetry import metrics
from regproxy.telemetry.log import fields
from regproxy.telemetry.multiprocess import NAME

VERSION = "REGPROXY_SUPERVISOR_VERSION"
BEAT = 1.0  # seconds between two reports of a worker
_AFTER_DRAIN = 5.0  # seconds beside those that responses and fills are given

_log = logging.getLogger(__name__)


class WorkerProcess:
    """One worker, from its birth to its end."""

    def __init__(self, process: asyncio.subprocess.Process, name: str, line: socket, fleet: Fleet) -> None:
        """Use `started` instead."""
        self.name = name
        self.report: WorkerStatus | None = None
        self.is_silent = False
        self.born_at = time.monotonic()
        self._heartbeat = Heartbeat()
        self._process = process
        self._accepting = asyncio.Event()
        self.ended = asyncio.create_task(self._live(SupervisorServer(fleet, self._hear).serve(line)), name=f"worker {name}")

    @classmethod
    async def started(cls, name: str, settings: Settings, listeners: Listeners, fleet: Fleet) -> Self:
        """Start a process that counts as *name*; raise `OSError`."""
        ours, theirs = socketpair()
        with theirs:
            inherited = [theirs.fileno(), *(each.fileno() for each in listeners)]
            command = [sys.executable, "-P", "-m", "regproxy.server.worker", *map(str, inherited)]
            environment = {**os.environ, NAME: name, VERSION: __version__}
            process = await asyncio.create_subprocess_exec(
                *command, stdin=asyncio.subprocess.PIPE, pass_fds=inherited, process_group=0, env=environment
            )
        assert process.stdin is not None  # noqa: S101 -- it is a pipe, as was asked for
        process.stdin.write(pickle.dumps(settings))
        process.stdin.close()
        return cls(process, name, ours, fleet)

    def __repr__(self) -> str:
        return f"<WorkerProcess {self.name}, process {self._process.pid}>"

    @property
    def pid(self) -> int:
        return self._process.pid

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
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        await asyncio.wait({self.ended}, timeout=2 * grace + _AFTER_DRAIN)
        self.kill()
        await asyncio.wait({self.ended})

    def kill(self) -> None:
        if not self.ended.done():
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    def _hear(self, document: Mapping[str, Any]) -> None:
        self._heartbeat.reported()
        self.report = WorkerStatus.parse(document)
        if self.report.is_accepting:
            self._accepting.set()

    async def _live(self, answering: Coroutine[Any, Any, None]) -> int:
        serving = asyncio.create_task(answering)
        status = await self._process.wait()
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        metrics.forget_process(self.name)
        return status
