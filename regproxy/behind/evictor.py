"""Evicts from an object store what nobody has used longest, one member at a time.

Each thing that is to go gets a tombstone first. Whoever writes it again meanwhile, or uses it, says so; ten minutes later it is looked
again who did, and only then it goes: first what says that it is there, then the content.
"""

import asyncio
import logging
from collections.abc import Collection

from regproxy.behind.lease import LENGTH, Lease
from regproxy.behind.retention import Retention, TooMuch
from regproxy.oci.digest import Digest
from regproxy.policy.clock import WallClock
from regproxy.policy.store import objects
from regproxy.policy.store.remote_eviction import RemoteObject, choose
from regproxy.ports import ObjectStore, StoreError
from regproxy.telemetry import metrics
from regproxy.telemetry.log import fields

GRACE = 600.0  # seconds between a tombstone and the deletion
_EVERY = 3600.0  # seconds: a list of all that is there costs a request for each thousand
_MAX_OBJECTS = 500_000  # that are looked at together, some 100 MB
_MAX_AT_ONCE = 10_000  # things that go in one eviction

_log = logging.getLogger(__name__)


class ObjectEvictor:
    """Keeps an object store below a size."""

    def __init__(
        self, remote: ObjectStore, max_size: int, lease: Lease, retention: Retention, clock: WallClock, grace: float = GRACE
    ) -> None:
        """Evict from *remote* while *lease* is ours and there are more than *max_size* bytes; what *retention* keeps stays."""
        self._remote = remote
        self._max_size = max_size
        self._lease = lease
        self._retention = retention
        self._clock = clock
        self._grace = grace
        self.trouble: str | None = None  # why nothing can be evicted

    async def run(self) -> None:
        """Evict now and then, for ever."""
        while True:
            await self.attempt()
            await asyncio.sleep(_EVERY)

    async def attempt(self) -> None:
        """Evict where the object store refuses whoever creates what is there: else two could do it at once."""
        try:
            self.trouble = None if await self._lease.is_possible() else "two may create the same object there, and so evict at once"
            if self.trouble is None:
                await self.sweep()
        except (StoreError, TooMuch) as error:
            self.trouble = str(error)
        except Exception as error:  # nobody else would see it
            _log.exception("eviction from the object store failed: internal error")
            self.trouble = repr(error)
        if self.trouble is not None:
            _log.error("cannot evict from the object store", extra=fields(reason=self.trouble))

    async def sweep(self) -> int:
        """Evict what is too much, if no other member does; return how many bytes went. Raise `StoreError` or `TooMuch`."""
        async with self._lease.held() as until:
            if until is None:
                return 0
            found = await self._found()
            await self._forget_tombstones()
            kept = await self._retention.kept()
            chosen = choose(found, self._max_size, kept)[:_MAX_AT_ONCE]
            if not chosen:
                return 0
            for digest in chosen:
                await self._remote.put(objects.tombstone(digest), objects.MARK)
            await asyncio.sleep(self._grace)
            return await self._delete(chosen, {digest: found[digest] for digest in chosen}, until)

    async def _delete(self, chosen: Collection[Digest], before: dict[Digest, RemoteObject], until: float) -> int:
        """Delete what was neither used nor kept since it was chosen, while the lease lasts."""
        used, kept = await self._times(objects.USES), await self._retention.kept()
        going = {digest for digest in chosen if used.get(digest, 0.0) <= before[digest].used_at and digest not in kept}
        links = await self._links(going)
        freed = 0
        for digest in chosen:
            if digest in going:
                if self._clock() > until - LENGTH / 4:
                    break  # the next one goes on
                for path in (*links.get(digest, ()), objects.sums(digest), objects.blob(digest), objects.use(digest)):
                    await self._remote.delete(path)
                freed += before[digest].size
            await self._remote.delete(objects.tombstone(digest))
        metrics.OBJECT_STORE_EVICTED_BYTES.inc(freed)
        _log.info("evicted from the object store", extra=fields(count=len(going), bytes=freed))
        return freed

    async def _found(self) -> dict[Digest, RemoteObject]:
        """Look at all content, and at when it was used."""
        used = await self._times(objects.USES)
        found: dict[Digest, RemoteObject] = {}
        async for page in self._remote.list(objects.BLOBS):
            for each in page:
                if (digest := objects.digest_of(each.path)) is not None:
                    found[digest] = RemoteObject(each.size, max(each.modified_at, used.get(digest, 0.0)))
            self._check(len(found))
        return found

    async def _times(self, prefix: str) -> dict[Digest, float]:
        found: dict[Digest, float] = {}
        async for page in self._remote.list(prefix):
            for each in page:
                if (digest := objects.digest_of(each.path)) is not None:
                    found[digest] = each.modified_at
            self._check(len(found))
        return found

    async def _links(self, going: Collection[Digest]) -> dict[Digest, list[str]]:
        found: dict[Digest, list[str]] = {}
        async for page in self._remote.list(objects.LINKS):
            for each in page:
                if (digest := objects.digest_of(each.path)) in going and digest is not None:
                    found.setdefault(digest, []).append(each.path)
        return found

    async def _forget_tombstones(self) -> None:
        """Remove those of an eviction that was cut off, whose content is chosen again if it is still to go."""
        for digest in await self._times(objects.TOMBSTONES):
            await self._remote.delete(objects.tombstone(digest))

    def _check(self, count: int) -> None:
        if count > _MAX_OBJECTS:
            raise TooMuch(f"more than {_MAX_OBJECTS} blobs and manifests there: nothing is evicted")
