"""What keeps a store in order, and what operators ask of it."""

import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from regproxy.best_effort import BestEffortIndex
from regproxy.config import Settings
from regproxy.derived import Derived
from regproxy.fill.fills import Fills
from regproxy.fleet.memory import NullFleet
from regproxy.index.sqlite import SqliteIndex
from regproxy.maintenance.catalogue import Catalogue
from regproxy.maintenance.evictor import Evictor
from regproxy.maintenance.inventory import Inventory
from regproxy.maintenance.jobs import MaintenanceJobs
from regproxy.maintenance.object_store import ObjectStoreJobs
from regproxy.maintenance.scrubber import Scrubber
from regproxy.maintenance.tag_history import TagHistory
from regproxy.peers.watch import FleetWatch
from regproxy.policy.clients.identity import AccessMode
from regproxy.policy.clock import WallClock
from regproxy.policy.routing import Routes
from regproxy.ports import BlobStore, DownloadStatus, Ledger, Replicas, Watched
from regproxy.pull.blobs import Blobs
from regproxy.pull.explain.explainer import Explainer
from regproxy.pull.explain.layers import Layers
from regproxy.pull.manifests import Manifests
from regproxy.pull.refresher import Refresher
from regproxy.pull.usage import Usage
from regproxy.store_shares import SharedStore
from regproxy.warming.hooks import Hooks, Receiver, Scheduled
from regproxy.warming.jobs import WarmJobs
from regproxy.warming.preheat import Preheater
from regproxy.warming.schedules import Schedules
from regproxy.warming.warmer import Warmer
from regproxy.web.admin.services import AdminServices
from regproxy.wiring import behind
from regproxy.wiring.running import running
from regproxy.wiring.serving import Serving

_WARM_SHARE = 4  # of the connections of a download, for one that no client waits for


@asynccontextmanager
async def tending(
    settings: Settings, store: BlobStore, ledger: Ledger, serving: Serving, clock: WallClock = time.time
) -> AsyncIterator[Evictor]:
    """Keep the store small enough and sound, once for all who use it."""
    evictor = Evictor(store, ledger, serving.usage, clock, keep_history=settings.store.keep_history)
    async with running(evictor.run(), evictor.watch(), Scrubber(store, ledger, settings.store.scrub_every, clock).run()):
        yield evictor


@asynccontextmanager
async def warming(
    settings: Settings,
    store: BlobStore,
    index: SqliteIndex,
    fleet: Replicas,
    served: Serving,
    upstreams: Mapping[str, Watched],
    downloads: Callable[[], Sequence[DownloadStatus]],
    clock: WallClock = time.time,
) -> AsyncIterator[Schedules]:
    """Bring in images before they are asked for, with a share of the connections; *upstreams* and *downloads* are those of all workers."""
    async with AsyncExitStack() as stack:
        backed = behind.backed(SharedStore(store, index.ledger(), clock), index, served.behind)
        content, known = backed.content, backed.index
        share = settings.downloads.model_copy(update={"connections": max(1, settings.downloads.connections // _WARM_SHARE)})
        unrecorded = Usage(index.ledger(), clock)  # that an image was warmed is no use of it
        fills = Fills(served.recorded, content, known, share)
        stack.push_async_callback(fills.drain, 0.0)
        manifests = Manifests(
            served.recorded, content, known, unrecorded, served.freezes, fleet, clock, served.access, served.requirements, served.proven
        )
        stack.push_async_callback(manifests.drain, 0.0)
        blobs = Blobs(served.recorded, content, known, fills, unrecorded, share.uncached_ranges, served.access, clock)
        stack.push_async_callback(blobs.close)
        warmer = Warmer(served.routes, manifests, blobs, fills, upstreams, downloads, served.freezes)
        jobs = WarmJobs(warmer, served.routes, index.warm_jobs(), clock)
        await jobs.load()
        # Where replicas share an object store, what one of them brings in is there for all; where each has its disk alone, each has to.
        claims = fleet if settings.store.behind is not None else NullFleet()
        schedules = Schedules(settings.warm, jobs, clock, claims=claims)
        await stack.enter_async_context(running(jobs.run(), schedules.run()))
        yield schedules


@asynccontextmanager
async def hooking(
    settings: Settings, index: SqliteIndex, served: Serving, upstreams: Mapping[str, Watched], jobs: WarmJobs
) -> AsyncIterator[Hooks]:
    """Look again at what registries say was pushed, and have *jobs* bring in what Harbor asks for; *upstreams* as all workers see them."""
    routes, known = served.routes, BestEffortIndex(index)
    refresher = Refresher(routes, served.manifests, served.freezes)
    scheduled = Scheduled(settings.warm, routes)

    # Where no client can have a list of its own, an upstream without access is out of use.
    def is_closed(name: str) -> bool:
        upstream = routes.called(name)
        return upstream is not None and upstream.access is AccessMode.NONE and settings.clients is None

    closed = Derived(served.registries, lambda name, _: name, is_closed)
    receivers, preheaters = [], []
    for hook in (entry.hook() for entry in settings.hooks):
        if hook.source.preheats:
            preheaters.append(Preheater(hook, routes, jobs, closed))
        else:
            receivers.append(Receiver(hook, routes, known, refresher, jobs, scheduled, upstreams, closed))
    hooks = Hooks(receivers, preheaters)
    async with running(*hooks.work()):
        yield hooks


def inventory_of(
    store: BlobStore,
    index: SqliteIndex,
    evictor: Evictor,
    routes: Routes,
    clock: WallClock = time.time,
    behind: ObjectStoreJobs | None = None,
) -> Inventory:
    """Join what operators ask of a store, in a server or without one."""
    ledger = index.ledger()
    jobs = MaintenanceJobs(store, index, ledger, evictor, clock, routes, behind)
    return Inventory(ledger, evictor, jobs, routes, Catalogue(ledger, store, routes, clock))


def admin_services(
    store: BlobStore,
    index: SqliteIndex,
    evictor: Evictor,
    served: Serving,
    upstreams: Mapping[str, Watched],
    schedules: Schedules,
    hooks: Hooks,
    clock: WallClock = time.time,
    behind: ObjectStoreJobs | None = None,
    fleet: FleetWatch | None = None,
) -> AdminServices:
    """Join what the admin port is answered from; *upstreams* are those of *served*, as all workers see them."""
    layers = Layers(served.manifests, fleet, None if served.remote is None else served.remote.store)
    return AdminServices(
        store,
        upstreams,
        served.freezes,
        Explainer(served.routes, upstreams, served.manifests, served.freezes, served.requirements, layers, clock),
        inventory_of(store, index, evictor, served.routes, clock, behind),
        Refresher(served.routes, served.manifests, served.freezes),
        TagHistory(served.routes, index.ledger(), served.freezes, clock),
        schedules,
        hooks,
        fleet,
    )
