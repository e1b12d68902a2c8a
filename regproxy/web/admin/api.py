"""The admin API, /api/v1: how hosts are doing, what is frozen, and what would happen to a pull, in JSON. Errors are `{"error": "..."}`."""

from collections.abc import Awaitable, Callable
from dataclasses import asdict

from aiohttp import web

from regproxy import __version__
from regproxy.oci import errors
from regproxy.oci.errors import RegistryError
from regproxy.policy.freezing import Freeze
from regproxy.ports import StoreError, UpstreamError
from regproxy.web.admin.fleet_api import add_fleet_api
from regproxy.web.admin.gate import ARGUMENTS
from regproxy.web.admin.services import AdminServices
from regproxy.web.admin.warm_api import add_warm_api
from regproxy.web.failures import upstream_failure


def api_app(services: AdminServices) -> web.Application:
    """Make the application below /api/v1."""
    registries, freezes, history = services.upstreams, services.freezes, services.tag_history

    async def upstreams(_: web.Request) -> web.Response:
        return web.json_response({name: {"hosts": [asdict(host) for host in registry.hosts()]} for name, registry in registries.items()})

    async def version(_: web.Request) -> web.Response:
        return web.json_response({"version": __version__, "store": services.store.place})

    async def listed(_: web.Request) -> web.Response:
        return web.json_response({"freezes": [_written(freeze) for freeze in await freezes.all()]})

    async def frozen(request: web.Request) -> web.Response:
        wanted = request[ARGUMENTS] = await _document(request)
        pattern, digest = wanted.get("pattern"), wanted.get("digest")
        if not isinstance(pattern, str) or not isinstance(digest, str | None):
            raise errors.name_invalid("pattern and digest must be text")
        return web.json_response(_written(await freezes.set(pattern, digest)), status=201)

    async def lifted(request: web.Request) -> web.Response:
        pattern = request.query.get("pattern", "")
        if not await freezes.lift(pattern):
            raise errors.name_unknown(f"{pattern} was not frozen at run time: `regproxy freeze` lists what is")
        return web.Response(status=204)

    async def explained(request: web.Request) -> web.Response:
        return web.json_response((await services.explainer.explain(request.query.get("image", ""))).document())

    async def refreshed(request: web.Request) -> web.Response:
        wanted = request[ARGUMENTS] = await _document(request)
        if not isinstance(image := wanted.get("image"), str):
            raise errors.name_invalid("image must be text")
        return web.json_response(await services.refresher.refresh(image))

    async def remembered(request: web.Request) -> web.Response:
        return web.json_response(await history.of(request.query.get("image", "")))

    async def rolled_back(request: web.Request) -> web.Response:
        wanted = request[ARGUMENTS] = await _document(request)
        image, digest = wanted.get("image"), wanted.get("digest")
        if not isinstance(image, str) or not isinstance(digest, str | None):
            raise errors.name_invalid("image and digest must be text")
        return web.json_response(await history.roll_back(image, digest))

    app = web.Application(middlewares=[_told])
    app.router.add_get("/version", version)
    app.router.add_get("/upstreams", upstreams)
    app.router.add_get("/freezes", listed)
    app.router.add_post("/freezes", frozen)
    app.router.add_delete("/freezes", lifted)
    app.router.add_get("/explain", explained)
    app.router.add_post("/refresh", refreshed)
    app.router.add_get("/tag-history", remembered)
    app.router.add_post("/rollback", rolled_back)
    add_warm_api(app, services.schedules)
    add_fleet_api(app, services.fleet, services.inventory.jobs.behind)
    return app


def add_listing(app: web.Application) -> None:
    """Add `/api/v1`, which lists all that *app* answers below it."""

    async def listing(_: web.Request) -> web.Response:
        routes = sorted({(route.resource.canonical, route.method) for route in app.router.routes() if route.resource is not None})
        return web.json_response({"routes": [f"{method} {path}" for path, method in routes if path.startswith("/api/v1/")]})

    for path in ("/api/v1", "/api/v1/"):
        app.router.add_get(path, listing)


@web.middleware
async def _told(request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> web.StreamResponse:
    try:
        return await handler(request)
    except RegistryError as error:
        return web.json_response({"error": error.message}, status=error.status)
    except UpstreamError as error:
        failure = upstream_failure(error)
        return web.json_response({"error": failure.message}, status=failure.status)
    except StoreError as error:
        return web.json_response({"error": str(error)}, status=503)


async def _document(request: web.Request) -> dict[str, object]:
    """Read a JSON object; its Content-Type is required, because no form of a foreign web page can send it."""
    try:
        document = await request.json() if request.content_type == "application/json" else None
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise errors.name_invalid("the body must be a JSON object, sent as application/json")
    return document


def _written(freeze: Freeze) -> dict[str, str | None]:
    return {"pattern": freeze.pattern, "digest": str(freeze.digest) if freeze.digest else None}
