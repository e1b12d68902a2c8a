"""The store's part of the admin API: what `regproxy store` asks of a running server.

What changes something is a POST with a JSON body: no page in a browser may send that to another origin without being allowed to.
"""

import json
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeAlias

from aiohttp import web

from regproxy.ports import StoreError
from regproxy.pull.holdings import Holdings, Staying, UnknownImage

Act: TypeAlias = Callable[..., Awaitable[dict[str, object]]]

_TYPES: dict[str, type] = {"image": str, "dry_run": bool, "pinned": bool, "unused_for": float}


def add_store_api(app: web.Application, holdings: Holdings) -> None:
    """Add `/api/v1/store/...` to the admin application."""

    async def images(_: web.Request) -> web.Response:
        return web.json_response(await holdings.images())

    app.router.add_get("/api/v1/store/images", images)
    acts: dict[str, Act] = {"show": holdings.show, "remove": holdings.remove, "pin": holdings.pin, "collect": holdings.collect}
    for name, act in acts.items():
        app.router.add_post(f"/api/v1/store/{name}", _answering(act))


def _answering(act: Act) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def answer(request: web.Request) -> web.Response:
        if request.content_type != "application/json":
            return _error(415, "the body must be application/json")
        try:
            return web.json_response(await act(**await _arguments(request)))
        except UnknownImage as error:
            return _error(404, str(error))
        except Staying as error:
            return _error(409, str(error))
        except (TypeError, ValueError):
            return _error(400, "the body is not what this takes")
        except StoreError as error:
            return _error(503, str(error))

    return answer


async def _arguments(request: web.Request) -> dict[str, Any]:
    """Read the body; a `"false"` that is text must not pass for a yes."""
    document = await request.json(loads=partial(json.loads, parse_int=float))
    if not isinstance(document, dict) or any(type(value) is not _TYPES.get(name) for name, value in document.items()):
        raise TypeError("not an object of what this takes")
    return document


def _error(status: int, reason: str) -> web.Response:
    return web.json_response({"error": reason}, status=status)
