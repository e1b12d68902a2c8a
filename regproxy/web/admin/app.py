"""The admin port: is it alive, is it ready, how is it doing. Never the registry API."""

from collections.abc import Callable, Mapping, Sequence

from aiohttp import web

from regproxy.maintenance.inventory import Inventory
from regproxy.policy.clients.admin_access import AdminAccess
from regproxy.ports import DownloadStatus, StoreError, StoreMaintenance, Watched
from regproxy.pull.explain import Explainer
from regproxy.pull.freezes import Freezes
from regproxy.pull.refresher import Refresher
from regproxy.telemetry import metrics
from regproxy.telemetry.history import History
from regproxy.web.admin.api import add_listing, api_app
from regproxy.web.admin.dashboard import dashboard
from regproxy.web.admin.gate import gate
from regproxy.web.admin.status_api import add_status_api
from regproxy.web.admin.store_api import add_store_api


def admin_app(
    store: StoreMaintenance,
    registries: Mapping[str, Watched],
    freezes: Freezes,
    explainer: Explainer,
    inventory: Inventory,
    refresher: Refresher,
    is_accepting: Callable[[], bool],
    trouble_elsewhere: Callable[[], str | None] = lambda: None,
    access: AdminAccess | None = None,
    history: History | None = None,
    downloads: Callable[[], Sequence[DownloadStatus]] = tuple,
) -> web.Application:
    """Make the application of the admin port, which lets in what *access* does, and shows *history* and *downloads*.

    It also tells whether anybody accepts clients, and why others can keep nothing.
    """

    async def alive(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def ready(_: web.Request) -> web.Response:
        """Readiness is ours alone: an upstream that is down, or a disk that is full, makes us no less able to serve what we have."""
        try:
            trouble = await store.check() or trouble_elsewhere()
        except StoreError as error:
            return web.Response(status=503, text=f"not ready: {error}\n")
        if not is_accepting():
            return web.Response(status=503, text="not ready: no worker accepts\n")
        refused = _refused_credentials(registries)
        lines = [f"ready, but the store takes nothing: {trouble}" if trouble else "ready", *refused]
        return web.Response(text="".join(f"{line}\n" for line in lines))

    async def exposition(_: web.Request) -> web.Response:
        for name, registry in registries.items():
            for host in registry.hosts():
                metrics.tell_host(name, host)
        body, content_type = metrics.exposition()
        return web.Response(body=body, headers={"Content-Type": content_type})

    access = access or AdminAccess()
    app = web.Application(middlewares=[gate(access)])
    app.router.add_get("/", dashboard)
    app.router.add_get("/healthz", alive)
    app.router.add_get("/readyz", ready)
    app.router.add_get("/metrics", exposition)
    add_store_api(app, inventory)
    add_status_api(app, access, history or History(), downloads)
    add_listing(app)
    app.add_subapp("/api/v1/", api_app(registries, freezes, explainer, refresher, store.place))
    return app


def _refused_credentials(registries: Mapping[str, Watched]) -> list[str]:
    """List the hosts that refuse our credentials: pulls continue with what is cached or public."""
    found = ((name, host) for name, registry in registries.items() for host in registry.hosts() if host.refused_credentials)
    return [f"credentials of {name} refused by {host.url}: {host.refused_credentials}" for name, host in found]
