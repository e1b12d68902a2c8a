"""What happens around every request at the admin port: it is admitted or refused, and its change is logged."""

import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeAlias

from aiohttp import web
from aiohttp.typedefs import Middleware

from regproxy.policy.clients.admin_access import AdminAccess, AdminRequest
from regproxy.telemetry.log import fields

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]

ARGUMENTS: Final = web.RequestKey("arguments", dict[str, object])
"""What a change is asked to do; whoever reads the request's body notes it here."""
OUTCOME: Final = web.RequestKey("outcome", str)
"""What became of a change whose response had begun before that was known."""

_READS = frozenset({"GET", "HEAD", "OPTIONS"})
_READS_BY_POST = frozenset({"/api/v1/store/show"})
_WHOLE_IMAGES = frozenset({"/api/v1/store/export"})  # read by nobody who may not pull them
# Whoever sent it is somebody else than whoever is connected.
_FORWARDED = ("Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP")
_MAX_SHOWN = 300  # characters of an argument
_MAX_ARGUMENTS = 16  # of which each is shown

_log = logging.getLogger(__name__)


def gate(access: AdminAccess) -> Middleware:
    """Make the middleware that lets in what *access* does, and logs each change with who asked for it and what came of it."""

    @web.middleware
    async def admit(request: web.Request, handler: Handler) -> web.StreamResponse:
        is_change = _is_change(request)
        asked = _asked(request, is_change=is_change)
        if (refusal := access.refusal(asked)) is not None:
            if is_change:
                _audit(request, f"refused: {refusal.reason}", refusal.status)
            else:
                _log.warning("admin request refused", extra=fields(**_who(request), path=request.path, reason=refusal.reason))
            return error(refusal.status, refusal.reason)
        if not is_change or request.path in _WHOLE_IMAGES:
            return await _in_json(request, handler)
        return await _audited(request, handler)

    return admit


def refusal_of_changes(access: AdminAccess, request: web.Request) -> str | None:
    """Return why whoever sent *request* may change nothing; None where it may."""
    refusal = access.refusal(_asked(request, is_change=True))
    return None if refusal is None else refusal.reason


def error(status: int, reason: str) -> web.Response:
    return web.json_response({"error": reason}, status=status)


async def _in_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer; what aiohttp refuses by itself is said as everything else is."""
    try:
        return await handler(request)
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
    named = [*request.query.items(), *request.get(ARGUMENTS, {}).items()][:_MAX_ARGUMENTS]
    arguments = {name[:_MAX_SHOWN]: str(value)[:_MAX_SHOWN] for name, value in named if value is not None}
    action = f"{request.method} {request.path[:_MAX_SHOWN]}"
    _log.info("admin change", extra=fields(**_who(request), action=action, arguments=arguments, status=status, result=result, **more))


def _who(request: web.Request) -> dict[str, object]:
    certificate = _certificate(request)
    subject = ", ".join(value for part in certificate.get("subject", ()) for _, value in part)
    return {"client": request.remote, **({"certificate": subject} if subject else {})}


def _certificate(request: web.Request) -> dict[str, Any]:
    """Return the certificate that a client has shown, and that our `client_ca` vouches for."""
    transport = request.transport
    return (transport.get_extra_info("peercert") if transport is not None else None) or {}


def _is_change(request: web.Request) -> bool:
    if request.path in _WHOLE_IMAGES:
        return True
    return request.method not in _READS and request.path not in _READS_BY_POST


def _asked(request: web.Request, *, is_change: bool) -> AdminRequest:
    headers, transport = request.headers, request.transport
    local = (transport.get_extra_info("sockname") if transport is not None else None) or ("",)
    return AdminRequest(
        request.raw_path,
        headers.getall("Host", ()),
        headers.getall("Origin", ()),
        headers.getall("Sec-Fetch-Site", ()),
        list(headers.getall("Sec-Fetch-Mode", ())) == ["navigate"] and request.method in _READS,
        is_change,
        request.remote or "",
        local[0],
        any(name in headers for name in _FORWARDED),
        bool(_certificate(request)),
    )


def _reason(response: web.StreamResponse) -> str:
    return (response.text or "")[:_MAX_SHOWN] if isinstance(response, web.Response) else ""
