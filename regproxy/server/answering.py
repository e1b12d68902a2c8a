"""What a worker does, whichever process it runs in: it answers pulls at its sockets, and reports how it is doing."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from regproxy.config import Settings
from regproxy.ports import Fleet, KeyValueStore
from regproxy.server.base_worker import BEAT
from regproxy.server.loop import SparingLoop
from regproxy.server.sockets import Listeners
from regproxy.server.status import WorkerStatus
from regproxy.storage.disk import DiskStore
from regproxy.telemetry import metrics
from regproxy.web.app import registry_port
from regproxy.web.connection.server import RegistryServer
from regproxy.wiring import Serving, import_features, joined, serving
from regproxy.wiring.running import running


@asynccontextmanager
async def answering(
    settings: Settings, listeners: Listeners, fleet: Fleet, key_values: KeyValueStore | None, report: Callable[[WorkerStatus], None]
) -> AsyncIterator[RegistryServer]:
    """Answer pulls out of a store that another has opened; in the end let responses and fills finish, and close the *listeners*.

    *report* is called at every beat, until all is over. Give who watches its clients. Raise `StoreError`.
    """
    async with AsyncExitStack() as stack:
        for each in listeners:
            stack.enter_context(each)  # also where it does not come to serving
        await asyncio.to_thread(import_features, settings)  # of a reload: another worker of this process may serve meanwhile
        reporting = await stack.enter_async_context(AsyncExitStack())
        store, index = await stack.enter_async_context(joined(settings))
        proxy = await stack.enter_async_context(serving(settings, store, index, fleet, key_values=key_values))
        port = registry_port(proxy.handlers, listeners, settings.drain, settings.tls, proxies=settings.proxies())
        server = await stack.enter_async_context(port)
        await reporting.enter_async_context(running(_report(report, proxy, store, server)))
        yield server


async def _report(report: Callable[[WorkerStatus], None], proxy: Serving, store: DiskStore, server: RegistryServer) -> None:
    """Report at every beat, and how busy the loop was meanwhile."""
    loop = asyncio.get_running_loop()
    while True:
        is_accepting = not server.is_leaving
        report(WorkerStatus.of(proxy.registries, store.trouble, proxy.fills.downloads(), proxy.peering, is_accepting=is_accepting))
        metrics.TASKS.set(len(asyncio.all_tasks()))
        if isinstance(loop, SparingLoop):
            metrics.LOOP_LAG.set(loop.take_lag())
        await asyncio.sleep(BEAT)
