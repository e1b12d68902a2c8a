"""The one place that joins ports to adapters."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from regproxy.best_effort import BestEffortIndex, BestEffortStore
from regproxy.config import Settings
from regproxy.fill.fills import Fills
from regproxy.fleet.memory import NullFleet
from regproxy.index.sqlite import MAX_LISTING_BYTES, SqliteIndex
from regproxy.maintenance.catalogue import Catalogue
from regproxy.maintenance.evictor import Evictor
from regproxy.maintenance.inventory import Inventory
from regproxy.maintenance.jobs import MaintenanceJobs
from regproxy.maintenance.reconciler import Reconciler
from regproxy.maintenance.scrubber import Scrubber
from regproxy.oci.http.via import pseudonym
from regproxy.policy.clock import WallClock
from regproxy.policy.freezing import Freeze
from regproxy.policy.routing import Routes
from regproxy.ports import BlobStore, Fleet, Index, Ledger, Registry
from regproxy.pull.access import RepositoryAccess
from regproxy.pull.blobs import Blobs
from regproxy.pull.explain import Explainer
from regproxy.pull.freezes import Freezes
from regproxy.pull.listings import Listings
from regproxy.pull.manifests import Manifests
from regproxy.pull.recording import RecordingRegistry
from regproxy.pull.refresher import Refresher
from regproxy.pull.usage import Usage
from regproxy.storage.directory.store_lock import claimed
from regproxy.storage.disk import DiskStore
from regproxy.upstream.registry import UpstreamRegistry
from regproxy.web.handlers import Handlers
from regproxy.web.not_found_limiter import NotFoundLimiter

_LISTING_SHARE = 64  # of the store: its size is a promise, and the index is no part of it


@dataclass(frozen=True, slots=True)
class Serving:
    """Everything that answers pulls, joined together."""

    routes: Routes
    handlers: Handlers
    fills: Fills
    registries: Mapping[str, Registry]
    freezes: Freezes
    manifests: Manifests
    usage: Usage


@dataclass(frozen=True, slots=True)
class Proxy:
    """A whole regproxy in one process."""

    handlers: Handlers
    store: BlobStore
    index: Index
    fills: Fills
    registries: Mapping[str, Registry]
    freezes: Freezes
    explainer: Explainer
    evictor: Evictor
    inventory: Inventory
    refresher: Refresher


@asynccontextmanager
async def kept(settings: Settings, clock: WallClock = time.time) -> AsyncIterator[tuple[DiskStore, SqliteIndex]]:
    """Open the store and its index, for this process alone; raise `StoreError`."""
    with claimed(settings.store.root, require_mount=settings.store.require_mount):
        async with opened(settings, clock) as both:
            yield both


@asynccontextmanager
async def opened(settings: Settings, clock: WallClock = time.time) -> AsyncIterator[tuple[DiskStore, SqliteIndex]]:
    """Open a store that is claimed, put it in order, and count what it holds; raise `StoreError`."""
    store = DiskStore(settings.store.root, settings.store.limits())
    try:
        await store.prepare()
        async with _closing(await _index(settings, clock)) as index:
            store.count((await index.ledger().census()).size)
            yield store, index
    finally:
        store.close()


@asynccontextmanager
async def joined(settings: Settings, clock: WallClock = time.time) -> AsyncIterator[tuple[DiskStore, SqliteIndex]]:
    """Open a store that another process has opened and tends; raise `StoreError`."""
    store = DiskStore(settings.store.root, settings.store.limits())
    try:
        await store.join()
        async with indexed(settings, clock) as index:
            yield store, index
    finally:
        store.close()


@asynccontextmanager
async def indexed(settings: Settings, clock: WallClock = time.time) -> AsyncIterator[SqliteIndex]:
    """Open an index that is open already; raise `StoreError`."""
    async with _closing(await _index(settings, clock, is_joining=True)) as index:
        yield index


def fleet_of(settings: Settings) -> Fleet:
    """Return those beyond this machine with whom it shares what it knows."""
    if settings.redis is None:
        return NullFleet()
    from regproxy.fleet.redis_fleet import RedisFleet  # noqa: PLC0415  15 MB that most do without

    return RedisFleet(settings.redis.url, settings.redis.key, timeout=settings.redis.timeout)


@asynccontextmanager
async def serving(
    settings: Settings, store: BlobStore, index: SqliteIndex, fleet: Fleet, clock: WallClock = time.time
) -> AsyncIterator[Serving]:
    """Join all that answers pulls, and in the end let fills finish within the time to drain."""
    async with AsyncExitStack() as stack:
        usage = Usage(index.ledger(), clock)
        stack.push_async_callback(usage.record)
        routes = Routes(settings.upstreams, settings.default_upstream)
        content, known = BestEffortStore(store), BestEffortIndex(index)
        freezes = Freezes(_configured(settings), known, routes)
        asked: dict[str, Registry] = {}
        for upstream in settings.upstreams:
            registry = asked[upstream.name] = UpstreamRegistry(upstream, settings.timeouts, fleet)
            stack.push_async_callback(registry.close)
        access = RepositoryAccess(asked, known, freezes, fleet, clock, settings.reconfirm_after)
        stack.push_async_callback(access.close, settings.drain)
        registries = {each.name: RecordingRegistry(asked[each.name], each, access, clock) for each in settings.upstreams}
        fills = Fills(registries, content, known, settings.downloads)
        stack.push_async_callback(fills.drain, settings.drain)
        await stack.enter_async_context(_running(usage.run(), store.let_go()))
        manifests = Manifests(registries, content, known, usage, freezes, fleet, clock, access)
        stack.push_async_callback(manifests.drain, settings.drain)
        blobs = Blobs(registries, content, known, fills, usage, settings.downloads.uncached_ranges, access, clock)
        stack.push_async_callback(blobs.close)
        name = pseudonym(socket.gethostname(), str(settings.listen), str(settings.store.root))
        listings = Listings(registries, known, manifests)
        stack.push_async_callback(listings.close)
        handlers = Handlers(
            routes,
            manifests,
            blobs,
            listings,
            NotFoundLimiter(settings.not_found_limit.rate()),
            name,
            settings.catalog,
            cluster=settings.cluster,
        )
        yield Serving(routes, handlers, fills, asked, freezes, manifests, usage)


@asynccontextmanager
async def tending(
    settings: Settings, store: BlobStore, ledger: Ledger, serving: Serving, clock: WallClock = time.time
) -> AsyncIterator[Evictor]:
    """Keep the store small enough and sound, once for all who use it."""
    evictor = Evictor(store, ledger, serving.usage, clock)
    async with _running(evictor.run(), evictor.watch(), Scrubber(store, ledger, settings.store.scrub_every, clock).run()):
        yield evictor


def inventory_of(store: BlobStore, index: SqliteIndex, evictor: Evictor, routes: Routes, clock: WallClock = time.time) -> Inventory:
    """Join what operators ask of a store, in a server or without one."""
    ledger = index.ledger()
    jobs = MaintenanceJobs(store, index, ledger, evictor, clock, routes)
    return Inventory(ledger, evictor, jobs, routes, Catalogue(ledger, store, routes, clock))


@asynccontextmanager
async def taking_stock(store: BlobStore, ledger: Ledger) -> AsyncIterator[None]:
    """Compare the index with the files, behind everything else."""
    async with _running(Reconciler(store, ledger).run()):
        yield


@asynccontextmanager
async def assembled(settings: Settings, clock: WallClock = time.time) -> AsyncIterator[Proxy]:
    """Open store and index, join them to the use cases, and take everything apart in the end."""
    async with AsyncExitStack() as stack:
        store, index = await stack.enter_async_context(kept(settings, clock))
        fleet, ledger = fleet_of(settings), index.ledger()
        stack.push_async_callback(fleet.close)
        served = await stack.enter_async_context(serving(settings, store, index, fleet, clock))
        evictor = await stack.enter_async_context(tending(settings, store, ledger, served, clock))
        await stack.enter_async_context(taking_stock(store, ledger))
        explainer = Explainer(served.routes, served.registries, served.manifests, served.freezes, clock)
        inventory = inventory_of(store, index, evictor, served.routes, clock)
        refresher = Refresher(served.routes, served.manifests, served.freezes)
        yield Proxy(
            served.handlers, store, index, served.fills, served.registries, served.freezes, explainer, evictor, inventory, refresher
        )


async def _index(settings: Settings, clock: WallClock, *, is_joining: bool = False) -> SqliteIndex:
    """Open the index as configured; raise `StoreError`."""
    path = settings.store.root / "index.db"
    return await SqliteIndex.open(path, clock, _configured(settings), _listing_bytes(settings), is_joining=is_joining)


def _listing_bytes(settings: Settings) -> int:
    """Return how much of the disk listings may take: little, and little of a small store."""
    most = settings.store.limits().max_size
    return MAX_LISTING_BYTES if most is None else min(MAX_LISTING_BYTES, most // _LISTING_SHARE)


@asynccontextmanager
async def _closing(index: SqliteIndex) -> AsyncIterator[SqliteIndex]:
    try:
        yield index
    finally:
        await index.close()


def _configured(settings: Settings) -> list[Freeze]:
    return [freeze for upstream in settings.upstreams for freeze in upstream.freezes]


@asynccontextmanager
async def _running(*works: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """Run work in the background until the block ends."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
