"""A whole regproxy in one process."""

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from regproxy.config import Settings
from regproxy.fill.fills import Fills
from regproxy.fleet.key_values import MemoryKeyValues
from regproxy.maintenance.evictor import Evictor
from regproxy.policy.clock import WallClock
from regproxy.ports import BlobStore, Index
from regproxy.web.admin.services import AdminServices
from regproxy.web.handlers import Handlers
from regproxy.wiring.behind import uploading
from regproxy.wiring.peering import watching
from regproxy.wiring.serving import serving
from regproxy.wiring.sharing import fleet_of, sharing
from regproxy.wiring.stores import kept, taking_stock
from regproxy.wiring.tending import admin_services, hooking, tending, warming


@dataclass(frozen=True, slots=True)
class Proxy:
    """A whole regproxy in one process."""

    handlers: Handlers
    store: BlobStore
    index: Index
    fills: Fills
    evictor: Evictor
    admin: AdminServices


@asynccontextmanager
async def assembled(settings: Settings, clock: WallClock = time.time) -> AsyncIterator[Proxy]:
    """Open store and index, join them to the use cases, and take everything apart in the end."""
    async with AsyncExitStack() as stack:
        store, index = await stack.enter_async_context(kept(settings, clock))
        key_values, ledger = MemoryKeyValues(), index.ledger()
        fleet = fleet_of(settings, key_values)
        stack.push_async_callback(fleet.close)
        served = await stack.enter_async_context(serving(settings, store, index, fleet, clock, key_values))
        await stack.enter_async_context(sharing(settings, fleet, served))
        behind = await stack.enter_async_context(uploading(settings, served.remote, store, index, clock))
        evictor = await stack.enter_async_context(tending(settings, store, ledger, served, clock))
        await stack.enter_async_context(taking_stock(settings, store, clock))
        watched = served.registries
        warm = await stack.enter_async_context(warming(settings, store, index, fleet, served, watched, served.fills.downloads, clock))
        hooks = await stack.enter_async_context(hooking(settings, index, served, watched, warm.jobs))
        watch = await stack.enter_async_context(watching(served.peering, clock=clock))
        admin = admin_services(store, index, evictor, served, watched, warm, hooks, clock, behind, watch)
        yield Proxy(served.handlers, store, index, served.fills, evictor, admin)
