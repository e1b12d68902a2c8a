"""Signing in on the admin page, and out."""

import json
import logging

from aiohttp import web

from regproxy.telemetry.log import fields
from regproxy.web.admin.gate import error
from regproxy.web.admin.sessions import Sessions

_log = logging.getLogger(__name__)


def add_session_api(app: web.Application, sessions: Sessions, *, is_tls: bool) -> None:
    """Add `/api/v1/session` to the admin application; browsers send the cookie over TLS only where the port *is_tls*."""

    async def begun(request: web.Request) -> web.Response:
        try:
            token = (await request.json())["token"] if request.content_type == "application/json" else None
        except (json.JSONDecodeError, UnicodeDecodeError, TypeError, KeyError):
            token = None
        if not isinstance(token, str):
            return error(400, 'the body must be {"token": "..."}, sent as application/json')
        response = web.Response(status=204)
        holder = sessions.begin(token, response, is_tls=is_tls)
        if holder is None:
            _log.warning("admin token refused", extra=fields(client=request.remote))
            return error(401, "the token is none of admin_tokens")
        _log.info("signed in at the admin port", extra=fields(client=request.remote, token=holder.name, role=holder.role))
        return response

    async def ended(request: web.Request) -> web.Response:
        response = web.Response(status=204)
        sessions.end(request, response)
        return response

    app.router.add_post("/api/v1/session", begun)
    app.router.add_delete("/api/v1/session", ended)
