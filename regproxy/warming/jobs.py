"""The warm-ups that were asked for: one after another, with retries, and again after a restart."""

import asyncio
import contextlib
import json
import logging
import math
from collections import deque
from collections.abc import Sequence

from regproxy.oci.errors import RegistryError
from regproxy.policy.clock import WallClock
from regproxy.policy.platform import Platform
from regproxy.policy.routing import Routes
from regproxy.ports import Answer, StoreError, Throttled, UpstreamError
from regproxy.ports import WarmJobs as KeptJobs
from regproxy.telemetry import metrics
from regproxy.telemetry.log import fields
from regproxy.warming.job import State, WarmImage, WarmJob
from regproxy.warming.warmer import Warmer

MAX_IMAGES = 5_000  # of a job
MAX_PARALLEL = 16  # images at once
_MAX_JOBS = 100  # that are kept; the oldest that are over make room
_MAX_OF_HOOKS = 50  # of these that are not over: a registry that floods us leaves room for operators and schedules
HOOK = "hook "  # what the origin of a hook's jobs begins with
_PAUSES = (2.0, 15.0, 60.0)  # seconds before another attempt at an image whose upstream failed
_LONGEST_PAUSE = 600.0  # seconds, whatever an upstream asks for
_SAVE_EVERY = 2.0  # seconds between two records of a job that goes on

_log = logging.getLogger(__name__)


class TooManyJobs(Exception):
    """So many jobs wait that no other is taken."""


class WarmJobs:
    """All jobs of one server."""

    def __init__(self, warmer: Warmer, routes: Routes, kept: KeptJobs, clock: WallClock, pauses: Sequence[float] = _PAUSES) -> None:
        """Bring images in by *warmer*, and keep jobs in *kept*; *clock* returns epoch seconds; *pauses* come before another attempt."""
        self._warmer = warmer
        self._routes = routes
        self._kept = kept
        self._clock = clock
        self._pauses = pauses
        self._jobs: dict[int, WarmJob] = {}
        self._waiting: deque[WarmJob] = deque()
        self._has_come = asyncio.Event()
        self._running: tuple[WarmJob, asyncio.Task[None]] | None = None

    async def load(self) -> None:
        """Take up the jobs of before a restart; what is damaged is dropped. Raise `StoreError`."""
        for number, text in await self._kept.all():
            try:
                job = WarmJob.read(json.loads(text))
            except (ValueError, KeyError, TypeError):
                await self._kept.drop(number)
                continue
            self._jobs[number] = job
            if not job.state.is_over:
                self._queue(job)

    async def run(self) -> None:
        """Work at one job after another, for ever."""
        while True:
            await self._has_come.wait()
            job = self._waiting.popleft()
            if not self._waiting:
                self._has_come.clear()
            if job.is_cancelled:
                continue
            task = asyncio.create_task(self._work(job), name=f"warm {job.number}")
            self._running = job, task
            try:
                await asyncio.wait({task})
                if not task.cancelled() and (error := task.exception()) is not None:
                    _log.error("warm-up failed: internal error", extra=fields(job=job.number), exc_info=error)
            finally:
                self._running = None
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    async def add(self, names: Sequence[str], platforms: Sequence[str], parallel: int, origin: str = "operator") -> WarmJob:
        """Queue a job for the images called *names*.

        Raise `ValueError` for an argument that is not taken, `RegistryError` where no upstream is meant, `TooManyJobs` or `StoreError`.
        """
        if not 1 <= len(names) <= MAX_IMAGES:
            raise ValueError(f"a job has 1 to {MAX_IMAGES} images, not {len(names)}")
        if not 1 <= parallel <= MAX_PARALLEL:
            raise ValueError(f"parallel is 1 to {MAX_PARALLEL}, not {parallel}")
        wanted = [str(Platform.parse(each)) for each in platforms]
        images = [str(self._routes.image(name)[1]) for name in names]
        if origin.startswith(HOOK):
            self._check_hooks()
        await self._make_room()
        number = max(self._jobs, default=0) + 1
        job = WarmJob(number, self._clock(), [WarmImage(name) for name in dict.fromkeys(images)], wanted, parallel, origin)
        self._jobs[number] = job
        await self._save(job)
        self._queue(job)
        return job

    def all(self) -> list[WarmJob]:
        """List all jobs, the newest first."""
        return [self._jobs[number] for number in sorted(self._jobs, reverse=True)]

    def job(self, number: int) -> WarmJob | None:
        """Return a job, with how far it is now."""
        job = self._jobs.get(number)
        for image in job.images if job is not None else ():
            if image.state is State.RUNNING:
                self._warmer.written(image)
        return job

    async def cancel(self, number: int) -> bool:
        """End a job, and report whether there was one that was not over; what it brought stays. Raise `StoreError`."""
        job = self._jobs.get(number)
        if job is None or job.state.is_over:
            return False
        job.is_cancelled = True
        if self._running is not None and self._running[0] is job:
            self._running[1].cancel()
        await self._save(job)
        return True

    def _queue(self, job: WarmJob) -> None:
        self._waiting.append(job)
        self._has_come.set()

    def _check_hooks(self) -> None:
        waiting = sum(job.origin.startswith(HOOK) and not job.state.is_over for job in self._jobs.values())
        if waiting >= _MAX_OF_HOOKS:
            raise TooManyJobs(f"{waiting} jobs of hooks wait already: cancel one, or wait for one to end")

    async def _make_room(self) -> None:
        while len(self._jobs) >= _MAX_JOBS:
            oldest = next((number for number in sorted(self._jobs) if self._jobs[number].state.is_over), None)
            if oldest is None:
                raise TooManyJobs(f"{len(self._jobs)} jobs wait already: cancel one, or wait for one to end")
            del self._jobs[oldest]
            await self._kept.drop(oldest)

    async def _work(self, job: WarmJob) -> None:
        began = self._clock()
        todo = deque(image for image in job.images if not image.state.is_over)
        saving = asyncio.create_task(self._save_now_and_then(job))
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(job.parallel, len(todo))):
                    group.create_task(self._bring_in(job, todo))
        finally:
            saving.cancel()
            for image in job.images:
                if image.state is State.RUNNING:
                    image.state = State.QUEUED
        await self._save(job)
        failed = sum(image.state is State.FAILED for image in job.images)
        seconds = round(self._clock() - began, 1)
        _log.info("warm-up ended", extra=fields(job=job.number, images=len(job.images), failed=failed, seconds=seconds, origin=job.origin))

    async def _bring_in(self, job: WarmJob, todo: deque[WarmImage]) -> None:
        platforms = [Platform.parse(each) for each in job.platforms]
        while todo:
            image = todo.popleft()
            await self._attempt(image, platforms)
            metrics.WARMED.labels(image.state.value).inc()
            if image.state is State.FAILED:
                _log.warning("image could not be warmed", extra=fields(job=job.number, image=image.name, reason=image.reason))

    async def _attempt(self, image: WarmImage, platforms: Sequence[Platform]) -> None:
        for pause in (*self._pauses, math.inf):
            image.begin()
            try:
                await self._warmer.warm(image, platforms)
            except (RegistryError, Answer, StoreError) as error:
                image.reason = str(error)
                break  # another attempt would be answered the same
            except UpstreamError as error:
                image.reason = str(error)
                if pause == math.inf:
                    break
                wait = (error.retry_after or 0.0) if isinstance(error, Throttled) else 0.0
                await asyncio.sleep(min(max(pause, wait), _LONGEST_PAUSE))
            else:
                image.end(State.DONE)
                return
        image.end(State.FAILED)

    async def _save_now_and_then(self, job: WarmJob) -> None:
        while True:
            await asyncio.sleep(_SAVE_EVERY)
            with contextlib.suppress(StoreError):
                await self._save(job)

    async def _save(self, job: WarmJob) -> None:
        await self._kept.put(job.number, json.dumps(job.document()))
