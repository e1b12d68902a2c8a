"""The store's part of the admin API: what `regproxy store` asks of a running server.

What changes something is a POST with a body of JSON or a tar: no page in a browser may send those to another origin unasked.
"""

import json
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeAlias

from aiohttp import web

from regproxy.maintenance.backup import InvalidBackup
from regproxy.maintenance.exporter import NotWhole
from regproxy.maintenance.images import UnknownImage
from regproxy.maintenance.inventory import Inventory, Staying
from regproxy.ports import Full, StoreError
from regproxy.telemetry.log import fields
from regproxy.web.admin.gate import ARGUMENTS, error
from regproxy.web.admin.long_work import told
from regproxy.web.admin.upload import received

Act: TypeAlias = Callable[..., Awaitable[dict[str, object]]]
Answer: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]

_TYPES: dict[str, type] = {"image": str, "dry_run": bool, "pinned": bool, "unused_for": float}
_TAR = "application/x-tar"

_log = logging.getLogger(__name__)


def add_store_api(app: web.Application, inventory: Inventory) -> None:
    """Add `/api/v1/store/...` to the admin application."""
    jobs = inventory.jobs

    async def images(_: web.Request) -> web.Response:
        return web.json_response(await inventory.images())

    async def page(request: web.Request) -> web.Response:
        query = request.query
        return web.json_response(
            await inventory.catalogue.page(query.get("search", ""), int(query.get("offset", 0)), int(query.get("limit", 50)))
        )

    async def export(request: web.Request) -> web.StreamResponse:
        planned = await jobs.export(request.query.getall("image", []))
        response = web.StreamResponse(headers={"Content-Type": _TAR, "Content-Length": str(planned.size)})
        await response.prepare(request)
        try:
            async for chunk in planned.chunks():
                await response.write(chunk)
        except (NotWhole, StoreError) as failure:
            _log.error("export aborted", extra=fields(reason=str(failure)))
            response.force_close()  # short of the length that was told
        return response

    async def bring_in(request: web.Request) -> web.StreamResponse:
        if request.content_type != _TAR or request.content_length is None:
            return error(415, f"the body must be {_TAR}, and of a length that is told")
        spool = await jobs.spool(request.content_length)
        try:
            async for chunk in received(request.content):
                await spool.write(chunk)
            spool.file.seek(0)
            return await told(request, partial(jobs.bring_in, spool.file, request.query.get("name")))
        except TimeoutError:
            return error(408, "the tar came too slowly")
        finally:
            spool.close()

    async def backup(_: web.Request) -> web.Response:
        return web.json_response(await inventory.backup())

    async def restore(request: web.Request) -> web.Response:
        if request.content_type != "application/json":
            return error(415, "the body must be application/json")
        document = await request.json()
        entries = document.items() if isinstance(document, dict) else ()
        counts: dict[str, object] = {name: len(each) for name, each in entries if isinstance(each, list)}
        request[ARGUMENTS] = counts  # all of them would be a long line
        return web.json_response(await inventory.restore(document))

    async def status(_: web.Request) -> web.Response:
        return web.json_response(await inventory.status())

    app.router.add_get("/api/v1/store/status", _refusing(status))
    app.router.add_get("/api/v1/store/images", _refusing(images))
    app.router.add_get("/api/v1/store/page", _refusing(page))
    app.router.add_get("/api/v1/store/backup", _refusing(backup))
    app.router.add_post("/api/v1/store/restore", _refusing(restore))
    app.router.add_get("/api/v1/store/export", _refusing(export))
    app.router.add_post("/api/v1/store/import", _refusing(bring_in))
    acts: dict[str, Act] = {"show": inventory.show, "remove": inventory.remove, "pin": inventory.pin}
    for name, act in acts.items():
        app.router.add_post(f"/api/v1/store/{name}", _refusing(_answering(act)))
    works: dict[str, Act] = {
        "verify": jobs.verify,
        "rebuild": jobs.rebuild,
        "collect": jobs.collect,
        "push": jobs.push,
        "check": jobs.check,
    }
    for name, work in works.items():
        app.router.add_post(f"/api/v1/store/{name}", _refusing(_working(work)))


def _answering(act: Act) -> Answer:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.json_response(await act(**await _arguments(request)))

    return answer


def _working(work: Act) -> Answer:
    async def answer(request: web.Request) -> web.StreamResponse:
        return await told(request, partial(work, **await _arguments(request)))

    return answer


def _refusing(answer: Answer) -> Answer:
    """Answer what is refused before anything is sent."""

    async def refusing(request: web.Request) -> web.StreamResponse:
        try:
            return await answer(request)
        except UnknownImage as failure:
            return error(404, str(failure))
        except (NotWhole, Staying) as failure:
            return error(409, str(failure))
        except InvalidBackup as failure:
            return error(400, str(failure))
        except (TypeError, ValueError):
            return error(400, "the body is not what this takes")
        except Full as failure:
            return error(507, str(failure))
        except StoreError as failure:
            return error(503, str(failure))

    return refusing


async def _arguments(request: web.Request) -> dict[str, Any]:
    """Read the body; a `"false"` that is text must not pass for a yes."""
    if request.content_type != "application/json":
        raise web.HTTPUnsupportedMediaType(reason="the body must be application/json")
    document = await request.json(loads=partial(json.loads, parse_int=float))
    if not isinstance(document, dict) or any(type(value) is not _TYPES.get(name) for name, value in document.items()):
        raise TypeError("not an object of what this takes")
    request[ARGUMENTS] = document
    return document
