"""`/token`: a token for who a client is (distribution, token authentication; OAuth2 as containerd and docker speak it).

GET takes a user and a password as Basic, or nothing. POST takes them in a form, and only where that is refused would containerd try GET.
"""

import asyncio
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from aiohttp import web

from regproxy.client import client
from regproxy.clients.access_tokens import LIFE
from regproxy.clients.admission import Admission, Unauthenticated
from regproxy.oci.errors import RegistryError
from regproxy.policy.clients.authorization import Basic, InvalidAuthorization, Presented, parse_authorization
from regproxy.policy.clients.sharing import client_key
from regproxy.policy.credential import Secret
from regproxy.web.clients.entrance import Entrance, certificate_names
from regproxy.web.context import RequestContext

if TYPE_CHECKING:
    from regproxy.clients.authenticator import Authenticator

_MAX_FORM_BYTES = 16 * 1024
_FORM_TIMEOUT = 10.0  # seconds
_MAX_FIELDS = 16
_FORM = "application/x-www-form-urlencoded"
_BASIC = {"WWW-Authenticate": 'Basic realm="regproxy"'}


async def issue(entrance: Entrance, request: web.BaseRequest, context: RequestContext) -> web.Response:
    """Answer with a token; raise `RegistryError`."""
    if request.method not in {"GET", "POST"}:
        raise RegistryError("UNSUPPORTED", 405, "a token is had by GET or POST", {"Allow": "GET, POST"})
    client.set(client_key(request.remote or ""))
    authenticator = entrance.authenticator
    assert authenticator is not None  # noqa: S101  our caller has looked
    try:
        admission = await _admitted(authenticator, request)
        if entrance.proofs is not None and admission.credential is not None:
            await entrance.proofs.login(admission.credential, client_key(request.remote or ""))
    except (InvalidAuthorization, Unauthenticated) as error:
        raise RegistryError("UNAUTHORIZED", 401, str(error), _BASIC) from None
    context.user = admission.client.name
    token, now = authenticator.tokens.issued(admission.claims), entrance.clock()
    if token is None:
        raise RegistryError("UNAUTHORIZED", 401, "the password is too long to be carried by a token", _BASIC)
    seconds = max(int(min(LIFE, admission.until - now)), 1)
    if admission.claims.get("kind") == "jwt":
        seconds = max(int(min(LIFE, float(admission.claims["exp"]) - now)), 1)
    issued_at = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    document = {"token": token, "access_token": token, "expires_in": seconds, "issued_at": issued_at}
    return web.Response(body=json.dumps(document).encode(), content_type="application/json", headers={"Cache-Control": "no-store"})


async def _admitted(authenticator: "Authenticator", request: web.BaseRequest) -> Admission:
    certificate = certificate_names(request)
    presented: Presented | None = parse_authorization(request.headers.getall("Authorization", ()))
    if request.method == "POST":
        form = await _form(request)
        match form:
            case {"grant_type": "refresh_token", "refresh_token": token} if token:
                return authenticator.with_identity_token(Secret(token), certificate)
            case {"grant_type": "password"} if form.get("username") or form.get("password"):
                presented = Basic(form.get("username", ""), Secret(form.get("password", "")))
            case {"grant_type": "password"}:
                pass
            case _:
                raise RegistryError("UNSUPPORTED", 400, "grant_type is neither password nor refresh_token")
    return await authenticator.admit(presented, certificate, client_key(request.remote or ""))


async def _form(request: web.BaseRequest) -> Mapping[str, str]:
    """Read a form, which may hold a password: nothing of it is in an error."""
    if request.content_type != _FORM:
        raise RegistryError("UNSUPPORTED", 415, f"the body must be {_FORM}")
    body = bytearray()
    try:
        async with asyncio.timeout(_FORM_TIMEOUT):
            async for chunk in request.content.iter_any():
                body += chunk
                if len(body) > _MAX_FORM_BYTES:
                    raise RegistryError("UNSUPPORTED", 413, f"the form has more than {_MAX_FORM_BYTES} bytes")
    except TimeoutError:
        raise RegistryError("UNSUPPORTED", 408, "the form came too slowly") from None
    try:
        fields = parse_qs(body.decode(), keep_blank_values=True, max_num_fields=_MAX_FIELDS)
    except ValueError:
        raise RegistryError("UNSUPPORTED", 400, "the form cannot be read") from None
    return {name: values[0] for name, values in fields.items()}
