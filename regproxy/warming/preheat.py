"""Images that Harbor wants here, by its preheat drivers: really warmed, because its users asked for that.

Harbor's driver for Kraken tells and forgets: its images are gathered, and the next job begins when the last one is over. That for Dragonfly
begins a job for each image and asks how far it is; an image that one of its jobs brings in has no other.
"""

import asyncio
import logging
import time
from collections.abc import Collection
from contextlib import suppress

from regproxy.oci import errors
from regproxy.oci.reference import Reference, Target
from regproxy.policy.clients.token_bucket import TokenBucket
from regproxy.policy.clock import MonotonicClock
from regproxy.policy.hooks.event import Event
from regproxy.policy.hooks.preheat import Preheat
from regproxy.policy.hooks.sources import Hook
from regproxy.policy.permitted import check_denied
from regproxy.policy.routing import Route, Routes
from regproxy.ports import StoreError
from regproxy.telemetry.log import fields
from regproxy.warming.job import WarmJob
from regproxy.warming.jobs import HOOK, MAX_IMAGES, TooManyJobs, WarmJobs
from regproxy.warming.looks import Looks, Queued
from regproxy.warming.schedules import PARALLEL

_LOOK = 1.0  # seconds between two looks at whether a job is over
_LATER = 30.0  # seconds until another attempt where the index takes no job

_log = logging.getLogger(__name__)


def check_open(route: Route, target: Target, closed: Collection[str]) -> None:
    """Raise `RegistryError` where *target* is denied, or its upstream is one of the *closed*, which serve nobody."""
    check_denied(route, target)
    if route.upstream.name in closed:
        raise errors.denied(f"{route.upstream.name} serves nobody (access: none)")


class Preheater:
    """Brings in what one of Harbor's instances asks for."""

    def __init__(
        self, hook: Hook, routes: Routes, jobs: WarmJobs, closed: Collection[str] = (), clock: MonotonicClock = time.monotonic
    ) -> None:
        """Bring images in by *jobs*, at the rate of *hook*; upstreams of *closed* serve nobody."""
        self.hook = hook
        self._routes = routes
        self._jobs = jobs
        self._closed = closed
        self._clock = clock
        self._bucket = TokenBucket(hook.rate.burst, clock())
        self._paced = Looks(self._gather, hook.rate)
        self._gathered: dict[str, None] = {}
        self._has_come = asyncio.Event()

    @property
    def origin(self) -> str:
        """What the jobs are said to come from."""
        whose = f" of {self.hook.upstream}" if self.hook.upstream else ""
        return f"{HOOK}{self.hook.source.value}{whose}"

    async def run(self) -> None:
        """Begin a job for what was gathered, and another one for what was gathered meanwhile, for ever; in the end, one for the rest."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._paced.run())
                while True:
                    await self._has_come.wait()
                    await self._begin_gathered()
        finally:
            if rest := list(dict.fromkeys([*self._gathered, *map(str, self._paced.waiting())])):  # jobs outlive a restart
                with suppress(TooManyJobs, StoreError):
                    await self._jobs.add(rest[:MAX_IMAGES], (), PARALLEL, self.origin)

    def gather(self, image: Event) -> Queued:
        """Have an image brought in by and by; raise `RegistryError` where none may be."""
        return self._paced.add(self._reference(image))

    async def begin(self, wanted: Preheat) -> WarmJob | None:
        """Begin a job for an image, or return the one that brings it in already; None: there were too many requests.

        Raise `RegistryError`, `TooManyJobs` or `StoreError`.
        """
        name = str(self._reference(wanted.image))
        for job in self._jobs.all():
            is_same = (job.origin, job.images[0].name, tuple(job.platforms)) == (self.origin, name, wanted.platforms)
            if is_same and not job.state.is_over:
                return job
        now = self._clock()
        if self._bucket.pause(self.hook.rate, now) > 0:
            return None
        self._bucket.spend(self.hook.rate, now)
        return await self._jobs.add([name], wanted.platforms, PARALLEL, self.origin)

    def job(self, number: int) -> WarmJob | None:
        """Return a job that `begin` returned, and no other."""
        job = self._jobs.job(number)
        return job if job is not None and job.origin == self.origin else None

    def _reference(self, image: Event) -> Reference:
        route = self._routes.find(image.repository, [self.hook.upstream or image.registry])
        check_open(route, image.target, self._closed)
        return Reference(route.repository, image.target)

    async def _gather(self, reference: Reference) -> bool:
        while len(self._gathered) >= MAX_IMAGES:  # noqa: ASYNC110  room is made once in a job's time
            await asyncio.sleep(_LOOK)
        self._gathered[str(reference)] = None
        self._has_come.set()
        return False

    async def _begin_gathered(self) -> None:
        names = list(self._gathered)
        try:
            job = await self._jobs.add(names, (), PARALLEL, self.origin)
        except TooManyJobs:
            await asyncio.sleep(_LOOK)
            return
        except StoreError as error:
            _log.error("cannot start preheat job", extra=fields(images=len(names), reason=str(error)))
            await asyncio.sleep(_LATER)
            return
        for name in names:
            del self._gathered[name]
        if not self._gathered:
            self._has_come.clear()
        while not job.state.is_over:  # noqa: ASYNC110  jobs tell nobody
            await asyncio.sleep(_LOOK)
