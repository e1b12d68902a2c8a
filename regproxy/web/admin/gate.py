"""What happens around every request at the admin port: it is admitted or refused, read in time, and its change is logged."""

import logging
import re
import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, Final, TypeAlias

from aiohttp import web
from aiohttp.typedefs import Middleware

from regproxy.policy.clients.admin_access import AdminAccess, AdminRequest
from regproxy.policy.clients.admin_roles import Holder, Need, Role
from regproxy.telemetry import audit
from regproxy.telemetry.log import fields
from regproxy.web.admin.sessions import Sessions, shows_credentials
from regproxy.web.admin.upload import comes_in_time

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]

ARGUMENTS: Final = web.RequestKey("arguments", dict[str, object])
"""What a change is asked to do; whoever reads the request's body notes it here."""
HOLDER: Final = web.RequestKey("holder", Holder)
"""Whose token, session or certificate a request shows."""
OUTCOME: Final = web.RequestKey("outcome", str)
"""What became of a change whose response had begun before that was known."""

_READS = frozenset({"GET", "HEAD", "OPTIONS"})
_READS_BY_POST = frozenset({"/api/v1/store/show"})
_NEEDS = {
    "/": Need.PAGE,
    "/api/v1/access": Need.PAGE,
    "/api/v1/session": Need.PAGE,
    "/healthz": Need.HEALTH,
    "/readyz": Need.HEALTH,
    "/metrics": Need.METRICS,
}
_HOOKS = re.compile(r"/hooks/.*|/health|/healthy|/registry/notifications|/oapi/v1/jobs(?:/.*)?", re.DOTALL)  # their senders show secrets
_WHOLE_IMAGES = frozenset({"/api/v1/store/export"})  # read by nobody who may not pull them
# Whoever sent it is somebody else than whoever is connected.
_FORWARDED = ("Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP")
_MAX_SHOWN = 300  # characters of an argument
_MAX_ARGUMENTS = 16  # of which each is shown

_log = logging.getLogger(__name__)


def gate(access: AdminAccess, sessions: Sessions) -> Middleware:
    """Make the middleware that lets in what *access* does, and logs each change with who asked for it and what came of it."""

    @web.middleware
    async def admit(request: web.Request, handler: Handler) -> web.StreamResponse:
        need = _need(request)
        if (holder := _holder(request, sessions)) is not None:
            request[HOLDER] = holder
        if (refusal := access.refusal(_asked(request, need, holder))) is not None:
            if need is Need.CHANGES:
                _audit(request, f"refused: {refusal.reason}", refusal.status)
            else:
                _log.warning("admin request refused", extra=fields(**_who(request), path=_shown_path(request), reason=refusal.reason))
            return error(refusal.status, refusal.reason)
        if need is Need.HOOK:
            return await _answered(request, handler)
        if need is not Need.CHANGES or request.path in _WHOLE_IMAGES or _is_nowhere(request):
            return await _in_json(request, handler)
        return await _audited(request, handler)

    return admit


def refusal_of(need: Need, access: AdminAccess, request: web.Request) -> str | None:
    """Return why whoever sent *request* may not have what it would *need*; None where it may."""
    refusal = access.refusal(_asked(request, need, request.get(HOLDER)))
    return None if refusal is None else refusal.reason


def error(status: int, reason: str) -> web.Response:
    headers = {"WWW-Authenticate": 'Bearer realm="regproxy admin"'} if status == HTTPStatus.UNAUTHORIZED else None
    return web.json_response({"error": reason}, status=status, headers=headers)


async def _in_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer once a body of JSON has come, which has to be in time."""

    async def received(request: web.Request) -> web.StreamResponse:
        if request.content_type != "application/json" or await comes_in_time(request):
            return await handler(request)
        response = error(408, "the body came too slowly")
        response.force_close()
        return response

    return await _answered(request, received)


async def _answered(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer; what aiohttp refuses by itself is said as everything else is."""
    try:
        return await handler(request)
    except RecursionError:
        return error(400, "the body is nested too deeply")
    except web.HTTPNotFound:
        return error(404, f"there is nothing at {request.path[:_MAX_SHOWN]}: GET /api/v1 lists what there is")
    except web.HTTPMethodNotAllowed as refused:
        allowed = ", ".join(sorted(refused.allowed_methods))
        answer = error(405, f"{request.path} takes {allowed}")
        answer.headers["Allow"] = allowed
        return answer
    except web.HTTPClientError as refused:
        return error(refused.status, refused.reason)


async def _audited(request: web.Request, handler: Handler) -> web.StreamResponse:
    began = time.monotonic()
    result, status = "client left", 0
    try:
        response = await _in_json(request, handler)
        status = response.status
        result = request.get(OUTCOME) or ("done" if status < 400 else f"failed: {_reason(response)}")
        return response
    except Exception as bug:
        result, status = f"failed: {type(bug).__name__}", 500
        raise
    finally:
        _audit(request, result, status, seconds=round(time.monotonic() - began, 3))


def _audit(request: web.Request, result: str, status: int, **more: object) -> None:
    """Report a change in one line: who, from where, what, and what came of it."""
    query = () if _is_nowhere(request) else request.query.items()
    named = [*query, *request.get(ARGUMENTS, {}).items()][:_MAX_ARGUMENTS]
    arguments = {name[:_MAX_SHOWN]: str(value)[:_MAX_SHOWN] for name, value in named if value is not None}
    action = f"{request.method} {_shown_path(request)}"
    audit.record(**_who(request), action=action, arguments=arguments, status=status, result=result, **more)


def _who(request: web.Request) -> dict[str, object]:
    holder = request.get(HOLDER)
    return {"client": request.remote, **({} if holder is None else {"certificate" if _certificate(request) else "token": holder.name})}


def _holder(request: web.Request, sessions: Sessions) -> Holder | None:
    """Return who sent *request*: whom our `client_ca` vouches for may do everything."""
    if certificate := _certificate(request):
        return Holder(", ".join(value for part in certificate.get("subject", ()) for _, value in part), Role.OPERATE)
    return sessions.holder(request)


def _certificate(request: web.Request) -> dict[str, Any]:
    """Return the certificate that a client has shown, and that our `client_ca` vouches for."""
    transport = request.transport
    return (transport.get_extra_info("peercert") if transport is not None else None) or {}


def _shown_path(request: web.Request) -> str:
    """Return the path for the log: that of a hook may hold a secret, and so may one where nothing is."""
    shown = 2 if _is_nowhere(request) else 3 if _HOOKS.fullmatch(request.path) else None
    return "/".join(request.path.split("/")[:shown])[:_MAX_SHOWN]


def _is_nowhere(request: web.Request) -> bool:
    return isinstance(request.match_info.http_exception, web.HTTPNotFound)


def _need(request: web.Request) -> Need:
    if (need := _NEEDS.get(request.path)) is not None:
        return need
    if _HOOKS.fullmatch(request.path):
        return Need.HOOK
    is_read = request.method in _READS or request.path in _READS_BY_POST
    return Need.READS if is_read and request.path not in _WHOLE_IMAGES else Need.CHANGES


def _asked(request: web.Request, need: Need, holder: Holder | None) -> AdminRequest:
    headers, transport = request.headers, request.transport
    local = (transport.get_extra_info("sockname") if transport is not None else None) or ("",)
    return AdminRequest(
        request.raw_path,
        headers.getall("Host", ()),
        headers.getall("Origin", ()),
        headers.getall("Sec-Fetch-Site", ()),
        list(headers.getall("Sec-Fetch-Mode", ())) == ["navigate"] and request.method in _READS,
        need,
        request.remote or "",
        local[0],
        any(name in headers for name in _FORWARDED),
        None if holder is None else holder.role,
        holder is None and shows_credentials(request),
    )


def _reason(response: web.StreamResponse) -> str:
    return (response.text or "")[:_MAX_SHOWN] if isinstance(response, web.Response) else ""
