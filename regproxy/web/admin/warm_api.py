"""Warm-ups at the admin port: begun, looked at and cancelled."""

import json
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from regproxy.warming.jobs import TooManyJobs
from regproxy.warming.schedules import PARALLEL, Schedules
from regproxy.web.admin.gate import ARGUMENTS, error

_TAKEN = frozenset({"images", "platforms", "parallel"})


def add_warm_api(app: web.Application, schedules: Schedules) -> None:
    """Add `/warm` to the application below `/api/v1`, which tells of errors of the registry and the store."""
    jobs = schedules.jobs

    async def begun(request: web.Request) -> web.Response:
        if request.content_type != "application/json":
            return error(415, "the body must be application/json")
        try:
            images, platforms, parallel = _arguments(await request.json())
            request[ARGUMENTS] = {"images": len(images), "first": images[0] if images else "", "platforms": ",".join(platforms)}
            job = await jobs.add(images, platforms, parallel)
        except (json.JSONDecodeError, UnicodeDecodeError):
            return error(400, "the body is not JSON")
        except ValueError as wrong:
            return error(400, str(wrong))
        except TooManyJobs as full:
            return error(429, str(full))
        return web.json_response(job.document(), status=202)

    async def listed(_: web.Request) -> web.Response:
        return web.json_response({"jobs": [job.summary() for job in jobs.all()], "schedules": schedules.document()})

    async def shown(request: web.Request) -> web.Response:
        job = jobs.job(_number(request))
        return error(404, "there is no such warm-up") if job is None else web.json_response(job.document())

    async def cancelled(request: web.Request) -> web.Response:
        if await jobs.cancel(_number(request)):
            return web.Response(status=204)
        return error(404, "there is no such warm-up that is not over")

    app.router.add_post("/warm", begun)
    app.router.add_get("/warm", listed)
    app.router.add_get("/warm/{id}", shown)
    app.router.add_delete("/warm/{id}", cancelled)


def _number(request: web.Request) -> int:
    text = request.match_info["id"]
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0


def _arguments(document: object) -> tuple[list[str], list[str], int]:
    if not isinstance(document, Mapping) or not document.keys() <= _TAKEN:
        raise ValueError(f"the body must be an object of {', '.join(sorted(_TAKEN))}")
    parallel = document.get("parallel", PARALLEL)
    if type(parallel) is not int:
        raise ValueError("parallel must be a whole number")
    return _texts(document, "images"), _texts(document, "platforms"), parallel


def _texts(document: Mapping[str, Any], name: str) -> list[str]:
    found = document.get(name, [])
    if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
        raise ValueError(f"{name} must be a list of text")
    return found
