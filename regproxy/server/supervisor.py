"""The supervisor: it keeps the sockets, starts the workers, tends the store and owns the admin port; it serves no pull itself."""

import asyncio
import logging
import signal
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from typing import Any, TypeVar

from regproxy import __version__
from regproxy.config import ConfigError, Settings
from regproxy.config.sections.admin import admin_tokens
from regproxy.config.tls import cautions
from regproxy.fleet.key_values import MemoryKeyValues
from regproxy.fleet.memory import SharedFleet
from regproxy.policy.clients.admin_access import AdminAccess
from regproxy.policy.clients.admin_roles import Need
from regproxy.ports import Replicas
from regproxy.server import sockets, systemd
from regproxy.server.child import Child
from regproxy.server.in_process import in_process
from regproxy.server.limits import take_all_files
from regproxy.server.process import processes
from regproxy.server.sockets import Listeners
from regproxy.server.status import ReportedRegistries
from regproxy.server.worker_pool import WorkerPool
from regproxy.storage.disk import DiskStore
from regproxy.telemetry import audit
from regproxy.telemetry.history import History
from regproxy.telemetry.log import fields, is_console
from regproxy.web.admin.app import admin_app
from regproxy.web.app import admin_port
from regproxy.web.connection.aiohttp_parts import slow_parser
from regproxy.wiring import (
    admin_services,
    check_members,
    fleet_of,
    hooking,
    indexed,
    opened,
    serving,
    sharing,
    taking_stock,
    tending,
    uploading,
    warming,
    watching,
)
from regproxy.wiring.running import running

Event = TypeVar("Event")

_FIXED = ("listen", "admin_listen", "workers", "redis")  # and store.root: what was opened before the first worker

_log = logging.getLogger(__name__)


async def supervise(settings: Settings, reread: Callable[[], Settings], children: Sequence[Child]) -> None:
    """Serve out of a store that is claimed, until SIGTERM or SIGINT; SIGHUP brings in what *reread* gives.

    Each of the *children* becomes a worker; where there are none, one serves in this process.
    Raise `ConfigError` where the configuration is right for another machine.
    """
    await check_members(settings)
    stop, hangup = asyncio.Event(), asyncio.Event()
    for number, event in ((signal.SIGTERM, stop), (signal.SIGINT, stop), (signal.SIGHUP, hangup)):
        asyncio.get_running_loop().add_signal_handler(number, event.set)
    for shortcoming in filter(None, (take_all_files(), slow_parser())):
        _log.error("cannot serve at full capacity", extra=fields(reason=shortcoming))
    for caution in cautions(settings.tls, settings.admin_tls):
        _log.warning("clients will not accept us", extra=fields(reason=caution))
    if exposed := settings.exposed():
        _log.warning("private content goes between members of the fleet in clear text: see tls", extra=fields(upstreams=", ".join(exposed)))
    listeners = sockets.opened(settings.listen, max(1, len(children)), systemd.listeners("registry"))
    (admin,) = sockets.opened(settings.admin_listen, given=systemd.listeners("admin"))
    async with running(systemd.beat()), AsyncExitStack() as stack:
        for each in admin:
            stack.enter_context(each)
        store = await stack.enter_async_context(opened(settings))
        await stack.enter_async_context(taking_stock(settings, store))
        key_values = MemoryKeyValues()
        fleet = SharedFleet(beyond := fleet_of(settings, key_values), key_values)
        stack.push_async_callback(fleet.close)
        start = processes(children, fleet) if children else await stack.enter_async_context(in_process(fleet))
        workers, history = WorkerPool(settings, listeners, start), History()
        maintenance = _Maintenance(store, fleet, beyond, workers, admin, history)
        keeping = asyncio.create_task(maintenance.keep(settings, reread, hangup))
        stack.push_async_callback(_ended, keeping)
        stack.push_async_callback(workers.drain, settings.drain)
        workers.start()
        stack.push_async_callback(_ended, asyncio.create_task(history.run()))
        stack.push_async_callback(_ended, asyncio.create_task(workers.watch()))
        stack.push_async_callback(_ended, asyncio.create_task(_tell_when_ready(workers)))
        await _first(keeping, maintenance.is_open.wait())
        _log.info(
            "serving",
            extra=fields(version=__version__, listen=str(settings.listen), admin=str(settings.admin_listen), **_for_people(settings)),
        )
        await _first(keeping, stop.wait())
        systemd.notify("STOPPING=1")
        _log.info("draining", extra=fields(grace=settings.drain))
    _log.info("stopped")


class _Maintenance:
    """What the supervisor does beside watching workers, by one configuration and then by the next."""

    def __init__(
        self, store: DiskStore, fleet: Replicas, beyond: Replicas, workers: WorkerPool, admin: Listeners, history: History
    ) -> None:
        """Share within this machine through *fleet*, which shares with others through *beyond*."""
        self._store = store
        self._fleet = fleet
        self._beyond = beyond
        self._workers = workers
        self._admin = admin
        self._history = history
        self.is_open = asyncio.Event()  # the admin port
        self._maintenance_lock = asyncio.Lock()  # who has it tends the store

    async def keep(self, settings: Settings, reread: Callable[[], Settings], hangup: asyncio.Event) -> None:
        async with AsyncExitStack() as stack:
            while True:
                replaced = asyncio.Event()
                keeping = asyncio.create_task(self._keep(settings, replaced))
                stack.push_async_callback(_ended, keeping)
                settings = await _first(keeping, self._next(settings, reread, hangup))
                replaced.set()
                self._store.limit(settings.store.limits())
                _log.info("configuration reloaded")

    async def _keep(self, settings: Settings, replaced: asyncio.Event) -> None:
        """Tend the store and answer at the admin port, until another does and what was asked for is done; raise `StoreError`."""
        async with (
            indexed(settings) as index,
            serving(settings, self._store, index, self._fleet) as served,
            AsyncExitStack() as tended,
        ):
            await tended.enter_async_context(self._maintenance_lock)
            await tended.enter_async_context(sharing(settings, self._beyond, served))
            audit.keep_in(settings.audit_log)
            evictor = await tended.enter_async_context(tending(settings, self._store, index.ledger(), served))
            behind = await tended.enter_async_context(uploading(settings, served.remote, self._store, index))
            upstreams = ReportedRegistries(served.registries, self._workers.reports)
            warm = warming(settings, self._store, index, self._fleet, served, upstreams, self._workers.downloads)
            schedules = await tended.enter_async_context(warm)
            hooks = await tended.enter_async_context(hooking(settings, index, served, upstreams, schedules.jobs))
            fleet = await tended.enter_async_context(watching(served.peering, self._workers.traffic, self._workers.suspected))
            services = admin_services(self._store, index, evictor, served, upstreams, schedules, hooks, behind=behind, fleet=fleet)
            app = admin_app(services, self._workers, admin_access(settings, sockets.addresses(self._admin)), self._history)
            async with admin_port(app, [each.dup() for each in self._admin], settings.admin_tls, settings.drain):
                self.is_open.set()
                await replaced.wait()
                await tended.aclose()

    async def _next(self, settings: Settings, reread: Callable[[], Settings], hangup: asyncio.Event) -> Settings:
        """Wait for a configuration that loads and with which workers come up; until then nothing changes."""
        while True:
            await hangup.wait()
            hangup.clear()
            try:
                wanted = admissible(settings, await asyncio.to_thread(reread))
                await check_members(wanted)
            except ConfigError as error:
                for mistake in str(error).splitlines():
                    _log.error("configuration rejected: the old one stays in effect", extra=fields(mistake=mistake))
                continue
            _log.info("replacing workers")
            if await self._workers.replace(wanted):
                return wanted


def admin_access(settings: Settings, addresses: Sequence[str]) -> AdminAccess:
    """Return who may use the admin port, which listens at *addresses*."""
    names = frozenset(name.removesuffix(".") for name in (*settings.admin_hosts, settings.admin_listen.host))
    return AdminAccess(
        tuple(addresses),
        names,
        settings.admin_tls is not None,
        frozenset(map(Need, settings.admin_open)),
        admin_tokens(settings.admin_tokens),
    )


def _for_people(settings: Settings) -> dict[str, str]:
    """Return where the store and the page are, and on a terminal what to do next."""
    page = f"{'https' if settings.admin_tls else 'http'}://{settings.admin_listen.from_here()}/"
    told = {"store": str(settings.store.root), "page": page}
    if not is_console(settings.log_format):
        return told
    here = settings.listen.from_here()
    verify = "" if settings.tls else " --src-tls-verify=false"
    return {**told, "try": f"skopeo copy{verify} docker://{here}/library/busybox:latest dir:/tmp/busybox"}


def admissible(settings: Settings, wanted: Settings) -> Settings:
    """Return the *wanted* settings with those that need a restart left as they are, and log which."""
    changed = [name for name in _FIXED if getattr(wanted, name) != getattr(settings, name)]
    if wanted.store.root != settings.store.root:
        changed.append("store.root")
    if changed:
        _log.warning("some changes need a restart; the old values stay", extra=fields(settings=", ".join(changed)))
    kept = {name: getattr(settings, name) for name in _FIXED}
    return wanted.model_copy(update={**kept, "store": wanted.store.model_copy(update={"root": settings.store.root})})


async def _tell_when_ready(workers: WorkerPool) -> None:
    await workers.accepting()
    systemd.notify("READY=1")


async def _first(work: asyncio.Task[None], event: Coroutine[Any, Any, Event]) -> Event:
    """Wait for the event, unless the work fails before; raise its failure."""
    waiting = asyncio.create_task(event)
    try:
        await asyncio.wait({work, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            await work
        return await waiting
    finally:
        waiting.cancel()


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
