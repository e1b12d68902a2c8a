"""What the pulls of one client may fill of the store: beyond it, only what they brought in before makes room."""

import asyncio
import logging
from contextvars import ContextVar

from regproxy.best_effort import BestEffortStore
from regproxy.oci.digest import Digest
from regproxy.policy.clients.client_quota import StoreShare
from regproxy.policy.clock import WallClock
from regproxy.policy.store.eviction import OCCASION, choose
from regproxy.policy.store.quota import on_disk
from regproxy.ports import BlobStore, Incoming, Ingest, Ledger, Oversized, Resumable, StoreError
from regproxy.telemetry import metrics
from regproxy.telemetry.log import fields

_WINDOW = 32  # images looked at together, the idlest ones

_log = logging.getLogger(__name__)

store_share: ContextVar[StoreShare | None] = ContextVar("store_share", default=None)
"""Of the client for whose sake something is brought in; None: it is not bounded."""


class SharedStore(BestEffortStore):
    """A store that keeps for each client no more than its share, and passes the rest through."""

    def __init__(self, store: BlobStore, ledger: Ledger, clock: WallClock) -> None:
        """Forward to *store*, and evict from it by *ledger*; *clock* returns epoch seconds."""
        super().__init__(store)
        self._space = store
        self._ledger = ledger
        self._clock = clock
        self._evicting = asyncio.Lock()

    async def write(self, digest: Digest, body: bytes) -> bool:
        return await self._admits(digest, len(body)) and await super().write(digest, body)

    async def ingest(
        self,
        digest: Digest,
        size: int | None,
        resumed: Resumable = Resumable(),  # noqa: B008 -- frozen
        begun: Incoming | None = None,
        *,
        locked_for: str | None = None,
        refused: StoreError | None = None,
    ) -> Ingest:
        if refused is None and begun is None and not await self._admits(digest, size):
            refused = Oversized("the client's share of the store is used up")
        return await super().ingest(digest, size, resumed, begun, locked_for=locked_for, refused=refused)

    async def _admits(self, digest: Digest, size: int | None) -> bool:
        """Report whether content of *size* bytes may be kept for who asks for it; where it cannot be found out, it may."""
        share = store_share.get()
        try:
            if share is None:
                await self._ledger.release(digest)
                return True
            admits = size is not None and await self._claimed(share, digest, on_disk(size))
        except StoreError as error:
            _log.warning("cannot count what a client's pulls brought in", extra=fields(digest=str(digest), reason=str(error)))
            return True
        if not admits:
            metrics.QUOTA_REFUSALS.labels("store").inc()
        return admits

    async def _claimed(self, share: StoreShare, digest: Digest, size: int) -> bool:
        """Count *size* bytes as the client's, when content of its own is evicted for them if need be; report whether they fit."""
        most = share.most(await self._space.ceiling())
        if size > most:
            return False
        excess = await self._ledger.claim(share.client, digest, size, most, self._clock())
        if not excess:
            return True
        async with self._evicting:
            await self._ledger.release_abandoned(share.client, await self._space.ingesting(), self._clock())
            while excess := await self._ledger.claim(share.client, digest, size, most, self._clock()):
                if not await self._evict(share.client, excess):
                    return False
        return True

    async def _evict(self, client: str, excess: int) -> bool:
        """Remove what *client* brought in and nobody used for a while, about *excess* bytes of it; report whether there was some."""
        now, busy = self._clock(), await self._space.ingesting()
        candidates = await self._ledger.idlest_of(client, now - OCCASION, _WINDOW)
        chosen = [each.digest for each in choose(candidates, excess, now, busy)]
        if not chosen:
            return False
        freed = 0
        for each in await self._ledger.forget(*chosen, brought_by=client):
            freed += await self._space.remove(each)
        metrics.EVICTED_BYTES.inc(freed)
        _log.info("evicted for a client's share of the store", extra=fields(client=client, images=len(chosen), bytes=freed))
        return True
