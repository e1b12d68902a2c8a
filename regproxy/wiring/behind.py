"""An object store behind the disk, joined to what answers pulls and to what keeps the store in order."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from regproxy.behind.documents import Signer
from regproxy.behind.evictor import ObjectEvictor
from regproxy.behind.health import Health
from regproxy.behind.index import BackedIndex, BackedStore
from regproxy.behind.lease import Lease
from regproxy.behind.redirects import Redirects
from regproxy.behind.retention import Retention
from regproxy.behind.tier import ObjectTier
from regproxy.behind.uploader import Uploader
from regproxy.behind.uses import Uses
from regproxy.best_effort import BestEffortIndex
from regproxy.config import Settings
from regproxy.index.sqlite import SqliteIndex
from regproxy.maintenance.object_store import ObjectStoreJobs
from regproxy.policy.clock import WallClock
from regproxy.ports import BlobStore, ContentStore, Index, ObjectStore
from regproxy.wiring.running import running
from regproxy.wiring.stores import configured


def object_store(settings: Settings) -> ObjectStore | None:
    """Open the object store that is configured, if one is; nothing is asked of it yet. Raise `StoreError`."""
    if settings.store.behind is None:
        return None
    from regproxy.objects.bucket import opened  # noqa: PLC0415  20 MB that most do without

    return opened(settings.store.behind.url, settings.store.behind.endpoint)


def backed(content: ContentStore, index: SqliteIndex, tier: ObjectTier | None) -> tuple[ContentStore, Index]:
    """Return store and index as pulls see them, with the object store behind both, if there is one."""
    if tier is None:
        return content, BestEffortIndex(index)
    return BackedStore(content, tier), BackedIndex(index, tier, content)


def redirects(settings: Settings, tier: ObjectTier | None) -> Redirects | None:
    """Return which blobs clients are sent to the object store for, where that is configured."""
    entry = settings.store.behind
    if entry is None or tier is None or entry.redirect == "never":
        return None
    return Redirects(tier, entry.redirect_from, entry.redirect_private)


@asynccontextmanager
async def tier(settings: Settings, index: SqliteIndex, clock: WallClock) -> AsyncIterator[ObjectTier | None]:
    """Read from the object store that is configured, if one is; raise `StoreError`."""
    entry, remote = settings.store.behind, object_store(settings)
    if entry is None or remote is None:
        yield None
        return
    found = ObjectTier(remote, Signer(entry.key, clock), Health(time.monotonic), index.uploads().repair)
    try:
        yield found
    finally:
        await found.close()


@asynccontextmanager
async def uploading(
    settings: Settings, store: BlobStore, index: SqliteIndex, clock: WallClock = time.time
) -> AsyncIterator[ObjectStoreJobs | None]:
    """Write behind to the object store that is configured, if one is; raise `StoreError`."""
    entry, remote = settings.store.behind, object_store(settings)
    if entry is None or remote is None:
        yield None
        return
    queue = index.uploads()
    signer = Signer(entry.key, clock)
    uploader = Uploader(queue, store, remote, signer, clock)
    works, evictor = [uploader.run()], None
    if entry.max_size is not None:
        retention = Retention(remote, signer, configured(settings))
        evictor = ObjectEvictor(remote, entry.max_size, Lease(remote, clock), retention, clock)
        works += [Uses(queue, remote).run(), evictor.run()]
    async with running(*works):
        yield ObjectStoreJobs(remote, queue, uploader, evictor)
