"""The admin port: is it alive, is it ready, how is it doing. Never the registry API."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from aiohttp import web

from regproxy.policy.clients.admin_access import AdminAccess
from regproxy.ports import DownloadStatus, StoreError, Watched
from regproxy.telemetry import metrics
from regproxy.telemetry.history import History
from regproxy.web.admin.api import add_listing, api_app
from regproxy.web.admin.dashboard import dashboard
from regproxy.web.admin.gate import gate
from regproxy.web.admin.hooks.events import add_hook_events
from regproxy.web.admin.hooks.preheat import add_preheat_drivers
from regproxy.web.admin.hooks.reception import Reception
from regproxy.web.admin.services import AdminServices
from regproxy.web.admin.session_api import add_session_api
from regproxy.web.admin.sessions import Sessions
from regproxy.web.admin.status_api import add_status_api
from regproxy.web.admin.store_api import add_store_api


class Workers(Protocol):
    """Those who serve pulls, as the admin port reports on them."""

    def is_accepting(self) -> bool: ...

    def trouble(self) -> str | None:
        """Return why one of them can keep nothing, if one cannot."""

    def downloads(self) -> Sequence[DownloadStatus]: ...


def admin_app(services: AdminServices, workers: Workers, access: AdminAccess, history: History) -> web.Application:
    """Make the application of the admin port, which lets in what *access* does, and reports on *workers* and *history*."""

    async def alive(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def ready(_: web.Request) -> web.Response:
        """Readiness is ours alone: an upstream that is down, or a disk that is full, makes us no less able to serve what we have."""
        try:
            trouble = await services.store.check() or workers.trouble()
        except StoreError as error:
            return web.Response(status=503, text=f"not ready: {error}\n")
        if not workers.is_accepting():
            return web.Response(status=503, text="not ready: no worker accepts\n")
        behind = services.inventory.jobs.behind
        lines = [f"ready, but the store takes nothing: {trouble}" if trouble else "ready", *_refused_credentials(services.upstreams)]
        lines += [] if behind is None else behind.troubles()
        return web.Response(text="".join(f"{line}\n" for line in lines))

    async def exposition(_: web.Request) -> web.Response:
        for name, registry in services.upstreams.items():
            for host in registry.hosts():
                metrics.tell_host(name, host)
        body, content_type = metrics.exposition()
        return web.Response(body=body, headers={"Content-Type": content_type})

    sessions = Sessions(access.tokens)
    app = web.Application(middlewares=[gate(access, sessions)])
    app.on_response_prepare.append(_sign)
    app.router.add_get("/", dashboard)
    app.router.add_get("/healthz", alive)
    app.router.add_get("/readyz", ready)
    app.router.add_get("/metrics", exposition)
    add_store_api(app, services.inventory)
    add_status_api(app, access, history, workers.downloads)
    add_session_api(app, sessions, is_tls=access.is_tls)
    reception = Reception()
    add_hook_events(app, services.hooks, reception)
    add_preheat_drivers(app, services.hooks, reception)
    add_listing(app)
    app.add_subapp("/api/v1/", api_app(services))
    return app


async def _sign(_: web.Request, response: web.StreamResponse) -> None:
    response.headers["Server"] = "regproxy"  # not what it is written in


def _refused_credentials(registries: Mapping[str, Watched]) -> list[str]:
    """List the hosts that refuse our credentials: pulls continue with what is cached or public."""
    found = ((name, host) for name, registry in registries.items() for host in registry.hosts() if host.refused_credentials)
    return [f"credentials of {name} refused by {host.url}: {host.refused_credentials}" for name, host in found]
