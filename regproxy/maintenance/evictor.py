"""Evicts images when space is short: a few at a time, in the background.

The record goes before the file. A crash between the two leaves a file that nobody asks for, which the next reconciliation finds; the other
way round the index would promise what is not there.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from itertools import product

from regproxy.oci.digest import Digest
from regproxy.policy.clock import WallClock
from regproxy.policy.store.eviction import WARMING, Candidate, RecentHistory, choose, sweeps_often_used
from regproxy.ports import BlobStore, Ledger, StoreError
from regproxy.pull.usage import Usage
from regproxy.telemetry import metrics
from regproxy.telemetry.log import fields

_WINDOW = 32  # images looked at together, the idlest ones; each batch that goes voids all that workers remember
_LEISURE = 5.0  # times as long as it worked: a sweep that nobody waits for takes a sixth of a core from those who are served
_REST = 1.0  # seconds, where nothing may go
_EVERY = 10.0  # seconds between two looks at the file system, which others fill too

_log = logging.getLogger(__name__)


class Evictor:
    """Removes what is needed least, when room is short."""

    def __init__(
        self, store: BlobStore, ledger: Ledger, usage: Usage, clock: WallClock, leisure: float = _LEISURE, keep_history: float = 0.0
    ) -> None:
        """Evict from *store* by *ledger* and *usage*, idle *leisure* times as long as busy while no ingest waits for space.

        What tags that moved within *keep_history* seconds meant goes last.
        """
        self._store = store
        self._ledger = ledger
        self._usage = usage
        self._clock = clock
        self._leisure = leisure
        self._keep_history = keep_history
        self._difference = 0  # between the books and the room, when they were compared last

    async def run(self) -> None:
        """Sweep whenever room is short, for ever."""
        while True:
            excess = await self._store.shortage()
            try:
                freed = await self.sweep(excess)
            except StoreError as error:
                freed = 0
                _log.error("eviction failed", extra=fields(reason=str(error)))
            if excess and not freed:
                await asyncio.sleep(_REST)

    async def watch(self) -> None:
        """Look at the file system and count, for ever."""
        while True:
            try:
                await self._store.look()
                await self.agree()
            except StoreError as error:
                _log.warning("cannot measure the store", extra=fields(reason=str(error)))
            await asyncio.sleep(_EVERY)

    async def agree(self) -> None:
        """Correct the quota's count to the index's, where they differ by as much as the last time.

        A file that was removed or put aside behind our back and is fetched again is counted twice, and a process that was killed may have
        counted what it did not record. What is kept or removed at this moment is in one of the two already: that difference does not last.
        """
        census = await self._ledger.census()
        metrics.STORE_BLOBS.set(census.count)
        before, self._difference = self._difference, census.size - self._store.counted
        if self._difference and self._difference == before:
            _log.info("corrected disk usage accounting", extra=fields(difference=self._difference))
            self._store.count(self._difference)
            self._difference = 0

    async def sweep(self, excess: int) -> int:
        """Remove partial files that nobody writes, then images, until *excess* bytes are gone or nothing may go; return how many went."""
        if freed := await self._store.remove_abandoned(excess):
            _log.info("removed partial files", extra=fields(bytes=freed))
        await self._usage.record()
        while freed < excess and (chosen := await self._choose(excess - freed)):
            freed += await self._remove_at_leisure(chosen)
        return freed

    async def unused(self, seconds: float) -> list[Candidate]:
        """List images that are not needed and were unused for so many seconds."""
        await self._usage.record()
        return await self._ledger.unused(self._clock() - seconds)

    async def collect(self, seconds: float, tell: Callable[[Sequence[Candidate]], None]) -> int:
        """Remove images that were unused for so many seconds; report each removed batch, and at the end the bytes freed."""
        since = self._clock() - seconds
        freed = 0
        for often in (False, True):
            while chosen := await self._idle(since, often=often):
                freed += await self._remove_at_leisure(chosen)
                tell(chosen)
        return freed

    async def remove(self, *images: Digest) -> int:
        """Remove images and what only they need; return how many bytes that frees."""
        freed = 0
        for each in await self._ledger.forget(*images):
            freed += await self._store.remove(each)
        metrics.EVICTED_BYTES.inc(freed)
        _log.info("removed", extra=fields(digests=[str(image) for image in images], bytes=freed))
        return freed

    async def _remove_at_leisure(self, chosen: Sequence[Candidate]) -> int:
        began = time.monotonic()
        freed = await self.remove(*(image.digest for image in chosen))
        if not self._store.is_waited_for:
            await asyncio.sleep(self._leisure * (time.monotonic() - began))
        return freed

    async def _idle(self, since: float, *, often: bool) -> list[Candidate]:
        ingesting = await self._store.ingesting()
        candidates = await self._ledger.idlest(_WINDOW, often=often)
        return [each for each in candidates if each.used_at < since and each.digest not in ingesting]

    async def _choose(self, excess: int) -> list[Candidate]:
        ingesting = await self._store.ingesting()
        often = sweeps_often_used((await self._ledger.census()).shares)
        spared = RecentHistory(self._clock(), self._keep_history) if self._keep_history else None
        queues = [(often, ""), (not often, "")]
        if often:
            queues.insert(0, (False, WARMING))
        for last, (queue, client) in product((spared, None) if spared else (None,), queues):
            candidates = await self._ledger.idlest(_WINDOW, often=queue, spared=last, brought_by=client)
            if chosen := list(choose(candidates, excess, self._clock(), ingesting)):
                return chosen
        return []
