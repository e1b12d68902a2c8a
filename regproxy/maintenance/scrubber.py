"""Reads and hashes everything again, at an even rate: disks rot, and a cache that serves one wrong byte for ever is worse than none."""

import asyncio
import logging

from regproxy.maintenance.reconciler import lose
from regproxy.policy.clock import WallClock
from regproxy.policy.store.scrubbing import turn
from regproxy.ports import BlobStore, Gone, Ledger, StoredBlob, StoreError
from regproxy.telemetry.log import fields

_log = logging.getLogger(__name__)


class Scrubber:
    """Finds damage before a client does."""

    def __init__(self, store: BlobStore, ledger: Ledger, period: float, clock: WallClock) -> None:
        """Read all content of *store* once in *period* seconds, by *ledger*; *clock* returns epoch seconds."""
        self._store = store
        self._ledger = ledger
        self._period = period
        self._clock = clock

    async def run(self) -> None:
        """Scrub shard after shard, each in its turn, for ever."""
        while True:
            due = turn(self._clock(), self._period)
            try:
                await self.scrub(due.shard, due.ends_at)
            except StoreError as error:
                _log.error("scrub failed", extra=fields(reason=str(error)))
            await asyncio.sleep(max(0.0, due.ends_at - self._clock()))

    async def scrub(self, shard: str, ends_at: float) -> None:
        """Verify what lies on a shard, spread over the time until *ends_at*; what is damaged is put aside, and a miss from now on."""
        stored = await self._store.list_shard(shard)
        for left, each in zip(range(len(stored), 0, -1), stored, strict=True):
            await self._verify(each)
            await asyncio.sleep(max(0.0, ends_at - self._clock()) / left)

    async def _verify(self, stored: StoredBlob) -> None:
        digest = stored.digest
        try:
            is_sound = await self._store.verify(digest) is not None
        except Gone:  # it was evicted since it was listed, and may be pulled again at any moment: that is no damage
            return
        if not is_sound and await lose(self._store, self._ledger, [digest]):
            _log.error("corrupt content quarantined", extra=fields(digest=stored.name))
