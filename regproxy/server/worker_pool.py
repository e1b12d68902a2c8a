"""All workers: each at sockets of its own, which outlive it.

A worker that dies leaves its queue of clients to its successor. A worker that is replaced accepts until its successor does, so that no
client finds nobody.
"""

import asyncio
import itertools
import logging
import time
from collections.abc import Awaitable, Mapping, Sequence

from regproxy.config import Settings
from regproxy.policy.fleet.traffic import Traffic
from regproxy.policy.respawn import deaths_in_a_row, pause
from regproxy.ports import DownloadStatus
from regproxy.server.base_worker import BEAT, Start, Worker
from regproxy.server.sockets import Listeners
from regproxy.server.status import WorkerStatus
from regproxy.telemetry import metrics
from regproxy.telemetry.log import fields

_BIRTH = 60.0  # seconds for a successor to accept; it takes one where a core is free
_LOOK = 0.05  # seconds

_log = logging.getLogger(__name__)


class _WorkerSlot:
    """Sockets, and the worker that serves them now."""

    def __init__(self, listeners: Listeners) -> None:
        self.listeners = listeners
        self.worker: Worker | None = None
        self.deaths = 0


class WorkerPool:
    """The workers of one regproxy."""

    def __init__(self, settings: Settings, listeners: Sequence[Listeners], start: Start) -> None:
        """Have *start* start workers with *settings*, one for each of *listeners*."""
        self.traffic = Traffic()  # between all workers and other members of the fleet
        self._settings = settings
        self._start = start
        self._slots = [_WorkerSlot(each) for each in listeners]
        self._living: set[Worker] = set()
        self._names: set[str] = set()  # in use; a name that is free is used again, and its counts go on
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_stopping = False

    def reports(self) -> list[WorkerStatus]:
        """Return what the workers that accept said last."""
        return [worker.report for worker in self._accepting() if worker.report is not None]

    def downloads(self) -> list[DownloadStatus]:
        """List the downloads in progress, of all workers."""
        return [download for report in self.reports() for download in report.downloads]

    def trouble(self) -> str | None:
        """Return why the store takes nothing from one of them."""
        return next((report.trouble for report in self.reports() if report.trouble is not None), None)

    def suspected(self) -> list[Mapping[str, str]]:
        """Return why workers leave members of the fleet alone."""
        return [report.suspected for report in self.reports()]

    def is_accepting(self) -> bool:
        return bool(self._accepting())

    def start(self) -> None:
        """Start a worker at every slot, and wait for none; raise `OSError`."""
        for slot in self._slots:
            slot.worker = self._started(slot)

    async def accepting(self) -> None:
        """Wait until a worker accepts."""
        while not self.is_accepting():  # noqa: ASYNC110 -- whoever it will be
            await asyncio.sleep(_LOOK)

    async def watch(self) -> None:
        """Kill hung workers and publish the status of the others, for ever."""
        while True:
            await asyncio.sleep(BEAT)
            for worker in self._living:
                worker.beat()
            metrics.WORKERS.set(len(self._accepting()))
            metrics.TASKS.set(len(asyncio.all_tasks()))

    async def replace(self, settings: Settings) -> bool:
        """Replace the workers one by one with others of new settings; where one does not start, leave the rest as they are."""
        before, self._settings = self._settings, settings
        for slot in self._slots:
            if not await self._succeed(slot):
                self._settings = before
                return False
        return True

    async def drain(self, grace: float) -> None:
        """Stop all workers gracefully, and start no more."""
        self._is_stopping = True
        for slot in self._slots:
            for each in slot.listeners:
                each.close()
        await asyncio.gather(*(worker.drain(grace) for worker in list(self._living)))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accepting(self) -> list[Worker]:
        return [slot.worker for slot in self._slots if slot.worker is not None and slot.worker.is_accepting]

    def _started(self, slot: _WorkerSlot) -> Worker:
        worker = self._start(self._free_name(), self._settings, slot.listeners, self.traffic)
        self._names.add(worker.name)
        self._living.add(worker)
        self._go_on(self._attend(slot, worker))
        return worker

    def _free_name(self) -> str:
        return next(name for name in map(str, itertools.count()) if name not in self._names)

    async def _attend(self, slot: _WorkerSlot, worker: Worker) -> None:
        """Wait for a worker's end, and replace it unless it has been replaced."""
        status = await worker.ended
        self._living.discard(worker)
        self._names.discard(worker.name)
        if slot.worker is not worker or self._is_stopping:
            return
        slot.deaths = deaths_in_a_row(slot.deaths, time.monotonic() - worker.born_at)
        wait = pause(slot.deaths)
        metrics.RESTARTS.labels("silent" if worker.is_silent else "died").inc()
        _log.error("a worker died", extra=fields(worker=worker.name, process=worker.pid, status=status, restart_in=wait))
        await asyncio.sleep(wait)
        while slot.worker is worker and not self._is_stopping:
            try:
                slot.worker = self._started(slot)
            except OSError as error:
                _log.error("no worker can be started", extra=fields(reason=str(error)))
                await asyncio.sleep(BEAT)

    async def _succeed(self, slot: _WorkerSlot) -> bool:
        if self._is_stopping:
            return False
        try:
            successor = self._started(slot)
        except OSError as error:
            _log.error("no worker can be started", extra=fields(reason=str(error)))
            return False
        if not await successor.accepts(_BIRTH):
            successor.kill()
            if not self._is_stopping:
                _log.error("worker does not start with the new configuration", extra=fields(worker=successor.name))
            return False
        before, slot.worker, slot.deaths = slot.worker, successor, 0
        metrics.RESTARTS.labels("replaced").inc()
        if before is not None:
            self._go_on(before.drain(self._settings.drain))
        return True

    def _go_on(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
