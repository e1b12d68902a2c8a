"""An object store behind the disk, joined to what answers pulls and to what keeps the store in order."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

from regproxy.behind.documents import Signer
from regproxy.behind.evictor import ObjectEvictor
from regproxy.behind.health import Health
from regproxy.behind.holders import Holders
from regproxy.behind.index import BackedIndex, BackedStore
from regproxy.behind.lease import Lease
from regproxy.behind.redirects import Redirects
from regproxy.behind.registry import BackedRegistry
from regproxy.behind.retention import Decisions, Retention
from regproxy.behind.tier import ObjectTier
from regproxy.behind.uploader import Uploader
from regproxy.behind.uses import Uses
from regproxy.behind.writer import Writer
from regproxy.best_effort import BestEffortIndex
from regproxy.config import Settings
from regproxy.index.sqlite import SqliteIndex
from regproxy.maintenance.object_store import ObjectStoreJobs
from regproxy.policy.clock import WallClock
from regproxy.ports import BlobStore, ContentStore, Index, ObjectStore, Registry
from regproxy.wiring.running import running
from regproxy.wiring.stores import configured


@dataclass(frozen=True, slots=True)
class Remote:
    """An object store as configured, and who signs what lies there: once for each process."""

    store: ObjectStore
    signer: Signer


def remote(settings: Settings, clock: WallClock = time.time) -> Remote | None:
    """Open the object store that is configured, if one is; nothing is asked of it yet. Raise `StoreError`."""
    entry = settings.store.behind
    if entry is None:
        return None
    from regproxy.objects.bucket import opened  # noqa: PLC0415  20 MB that most do without

    return Remote(opened(entry.url, entry.endpoint), Signer(entry.key, clock))


@dataclass(frozen=True, slots=True)
class Readable:
    """An object store as pulls read it."""

    remote: Remote
    tier: ObjectTier
    holders: Holders


@dataclass(frozen=True, slots=True)
class Backed:
    """Store, index and registries as pulls see them."""

    content: ContentStore
    index: Index
    registry: Callable[[Registry], Registry]


@asynccontextmanager
async def reading(settings: Settings, index: SqliteIndex, clock: WallClock) -> AsyncIterator[Readable | None]:
    """Read from the object store that is configured, if one is; raise `StoreError`."""
    found = remote(settings, clock)
    if found is None:
        yield None
        return
    tier = ObjectTier(found.store, found.signer, Health(time.monotonic), index.uploads().repair)
    try:
        yield Readable(found, tier, Holders(tier, BestEffortIndex(index)))
    finally:
        await tier.close()


def backed(content: ContentStore, index: SqliteIndex, behind: Readable | None) -> Backed:
    """Put the object store behind *content*, *index* and registries, if there is one."""
    if behind is None:
        return Backed(content, BestEffortIndex(index), lambda registry: registry)
    known = BackedIndex(index, behind.holders, content)
    return Backed(BackedStore(content, behind.tier), known, partial(BackedRegistry, holders=behind.holders, index=known))


def redirects(settings: Settings, behind: Readable | None) -> Redirects | None:
    """Return which blobs clients are sent to the object store for, where that is configured."""
    entry = settings.store.behind
    if entry is None or behind is None or entry.redirect == "never":
        return None
    return Redirects(behind.holders, entry.redirect_from, entry.redirect_private)


@asynccontextmanager
async def uploading(
    settings: Settings, remote: Remote | None, store: BlobStore, index: SqliteIndex, clock: WallClock = time.time
) -> AsyncIterator[ObjectStoreJobs | None]:
    """Write behind to the object store that is *remote*, if there is one."""
    entry = settings.store.behind
    if entry is None or remote is None:
        yield None
        return
    queue, there = index.uploads(), remote.store
    uploader = Uploader(queue, Writer(queue, store, there, remote.signer, clock), clock)
    works, evictor = [uploader.run(), Decisions(queue, there, remote.signer).run()], None
    if entry.max_size is not None:
        retention = Retention(there, remote.signer, configured(settings))
        evictor = ObjectEvictor(there, entry.max_size, Lease(there, clock), retention, clock)
        works += [Uses(queue, there).run(), evictor.run()]
    async with running(*works):
        yield ObjectStoreJobs(there, queue, uploader, evictor)
