"""The one place that joins ports to adapters."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from regproxy.config import Settings
from regproxy.policy.freezing import Freeze
from regproxy.policy.routing import Routes
from regproxy.ports import BlobStore, Fleet, Index, Registry
from regproxy.pull.blobs import Blobs
from regproxy.pull.explain import Explainer
from regproxy.pull.fills import Fills
from regproxy.pull.freezes import Freezes
from regproxy.pull.holdings import Holdings
from regproxy.pull.listings import Listings
from regproxy.pull.manifests import Manifests
from regproxy.pull.scrubber import Scrubber
from regproxy.pull.stocktaking import Stocktaking
from regproxy.pull.sweeper import Sweeper
from regproxy.pull.upkeep import Upkeep
from regproxy.pull.uses import Uses
from regproxy.state.fleet import RedisFleet
from regproxy.state.memory import Alone
from regproxy.state.sqlite import SqliteIndex
from regproxy.storage.claim import claimed
from regproxy.storage.disk import DiskStore
from regproxy.upstream.registry import UpstreamRegistry
from regproxy.web.handlers import Handlers


@dataclass(frozen=True, slots=True)
class Proxy:
    """Everything that serves, joined together."""

    handlers: Handlers
    store: BlobStore
    index: Index
    fills: Fills
    registries: Mapping[str, Registry]
    freezes: Freezes
    explainer: Explainer
    sweeper: Sweeper
    holdings: Holdings


@asynccontextmanager
async def kept(settings: Settings, clock: Callable[[], float] = time.time) -> AsyncIterator[tuple[DiskStore, SqliteIndex]]:
    """Open the store and its index, for this process alone; raise `StoreError`."""
    with claimed(settings.store.root, own_volume=settings.store.own_volume):
        store = DiskStore(settings.store.root, settings.store.limits())
        try:
            await store.prepare()
            index = await SqliteIndex.open(settings.store.root / "index.db", clock, _configured(settings))
            try:
                store.count((await index.ledger().census()).size)
                yield store, index
            finally:
                await index.close()
        finally:
            store.close()


@asynccontextmanager
async def assembled(settings: Settings, clock: Callable[[], float] = time.time) -> AsyncIterator[Proxy]:
    """Open store and index, join them to the use cases, and take everything apart in the end."""
    async with AsyncExitStack() as stack:
        store, index = await stack.enter_async_context(kept(settings, clock))
        fleet: Fleet = RedisFleet(settings.redis.url, settings.redis.key) if settings.redis else Alone()
        stack.push_async_callback(fleet.close)
        ledger = index.ledger()
        uses = Uses(ledger, clock)
        registries: dict[str, Registry] = {}
        for upstream in settings.upstreams:
            registry = registries[upstream.name] = UpstreamRegistry(upstream, settings.timeouts, fleet)
            stack.push_async_callback(registry.close)
        fills = Fills(registries, store, index, settings.downloads, settings.timeouts.progress)
        stack.push_async_callback(fills.drain, settings.drain)
        sweeper = Sweeper(store, ledger, uses, clock)
        scrubber = Scrubber(store, ledger, settings.store.scrub_every, clock)
        await stack.enter_async_context(_running(sweeper.run(), sweeper.watch(), Stocktaking(store, ledger).run(), scrubber.run()))
        routes = Routes(settings.upstreams, settings.default_upstream)
        freezes = Freezes(_configured(settings), index, routes)
        manifests = Manifests(registries, store, index, uses, freezes, fleet, clock, settings.timeouts.revalidate)
        stack.push_async_callback(manifests.close)
        blobs = Blobs(registries, store, index, fills, uses, settings.downloads.cold_ranges, settings.timeouts.progress)
        stack.push_async_callback(blobs.close)
        handlers = Handlers(routes, manifests, blobs, Listings(registries, index, manifests))
        explainer = Explainer(routes, registries, manifests, freezes, clock)
        holdings = Holdings(ledger, sweeper, Upkeep(store, index, ledger, clock), clock)
        yield Proxy(handlers, store, index, fills, registries, freezes, explainer, sweeper, holdings)


def _configured(settings: Settings) -> list[Freeze]:
    return [freeze for upstream in settings.upstreams for freeze in upstream.freezes]


@asynccontextmanager
async def _running(*works: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """Let work go on behind everything else, and end it in the end."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
