"""The admin port: is it alive, is it ready, how is it doing. Never the registry API."""

from collections.abc import Mapping
from dataclasses import asdict

from aiohttp import web

from regproxy import __version__, metrics
from regproxy.ports import BlobStore, Registry, StoreError


def admin_app(store: BlobStore, registries: Mapping[str, Registry]) -> web.Application:
    """Make the application of the admin port."""

    async def alive(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def ready(_: web.Request) -> web.Response:
        """Readiness is ours alone: an upstream that is down, or a disk that is full, makes us no less able to serve what we have."""
        try:
            trouble = await store.check()
        except StoreError as error:
            return web.Response(status=503, text=f"not ready: {error}\n")
        return web.Response(text=f"ready, but the store takes nothing: {trouble}\n" if trouble else "ready\n")

    async def exposition(_: web.Request) -> web.Response:
        for name, registry in registries.items():
            for host in registry.hosts():
                metrics.tell_host(name, host)
        body, content_type = metrics.exposition()
        return web.Response(body=body, headers={"Content-Type": content_type})

    async def upstreams(_: web.Request) -> web.Response:
        return web.json_response({name: {"hosts": [asdict(host) for host in registry.hosts()]} for name, registry in registries.items()})

    async def version(_: web.Request) -> web.Response:
        return web.json_response({"version": __version__})

    app = web.Application()
    app.router.add_get("/healthz", alive)
    app.router.add_get("/readyz", ready)
    app.router.add_get("/metrics", exposition)
    app.router.add_get("/api/v1/version", version)
    app.router.add_get("/api/v1/upstreams", upstreams)
    return app
