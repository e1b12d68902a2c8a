"""Warm-ups by the clock."""

import asyncio
import json
import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from cronsim import CronSim

from regproxy.config.sections.warm import WarmEntry
from regproxy.oci.errors import RegistryError
from regproxy.policy.clock import WallClock
from regproxy.ports import Claims, StoreError
from regproxy.telemetry.log import fields
from regproxy.warming.job import WarmJob
from regproxy.warming.jobs import TooManyJobs, WarmJobs

PARALLEL = 2  # images at once, where nobody says how many
_CLAIMED_FOR = 3600.0  # seconds: clocks of replicas differ, and one that was stuck looks late
_LOOK = 5.0  # seconds between two looks at the clock, which may be set

_log = logging.getLogger(__name__)


class Schedules:
    """When which images are due, and the jobs that are begun for them."""

    def __init__(self, entries: Sequence[WarmEntry], jobs: WarmJobs, clock: WallClock, look: float = _LOOK, *, claims: Claims) -> None:
        """Begin *jobs* for *entries* by *clock*, which returns epoch seconds; of the replicas that share *claims*, one does."""
        self._claims = claims
        self.jobs = jobs
        self._entries = entries
        self._clock = clock
        self._look = look
        self._due = [self._next(entry) for entry in entries]
        self._begun: dict[int, WarmJob] = {}  # by entry, the last one

    def document(self) -> list[dict[str, Any]]:
        """Describe what is due when, for JSON; in epoch seconds."""
        found = []
        for number, entry in enumerate(self._entries):
            last = self._begun.get(number)
            found.append(
                {
                    "images": list(entry.images),
                    "cron": entry.cron,
                    "platforms": list(entry.platforms),
                    "next_at": self._due[number],
                    "last_job": None if last is None else last.number,
                }
            )
        return found

    async def run(self) -> None:
        """Begin what is due, for ever."""
        while True:
            now = self._clock()
            for number, entry in enumerate(self._entries):
                if now >= self._due[number]:
                    await self._begin(number, entry)
                    self._due[number] = self._next(entry)
                elif self._due[number] - now > self._due_in(entry) + self._look:
                    self._due[number] = self._next(entry)  # the clock was set back
            await asyncio.sleep(self._look)

    async def _begin(self, number: int, entry: WarmEntry) -> None:
        last = self._begun.get(number)
        if last is not None and not last.state.is_over:
            _log.warning("scheduled warm-up left out: the last one goes on", extra=fields(cron=entry.cron, job=last.number))
            return
        due = datetime.fromtimestamp(self._due[number], UTC).isoformat(timespec="minutes")
        if not await self._claims.claim(json.dumps(["warm", due, entry.cron, entry.images, entry.platforms]), _CLAIMED_FOR):
            _log.info("scheduled warm-up left to another replica", extra=fields(cron=entry.cron))
            return
        try:
            self._begun[number] = await self.jobs.add(entry.images, entry.platforms, PARALLEL, f"schedule {entry.cron}")
        except (RegistryError, TooManyJobs, StoreError) as error:
            _log.error("scheduled warm-up not begun", extra=fields(cron=entry.cron, reason=str(error)))

    def _next(self, entry: WarmEntry) -> float:
        return next(CronSim(entry.cron, datetime.fromtimestamp(self._clock()).astimezone())).timestamp()

    def _due_in(self, entry: WarmEntry) -> float:
        return self._next(entry) - self._clock()
