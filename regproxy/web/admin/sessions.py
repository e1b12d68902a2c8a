"""Who has signed in on the admin page: a cookie that no script can read stands for the token, which the page does not keep."""

import secrets
import time
from collections.abc import Callable

from aiohttp import web
from cachetools import TTLCache

from regproxy.policy.clients.admin_roles import AdminTokens, Holder

_COOKIE = "regproxy_admin"
_LASTS = 12 * 3600.0  # seconds from signing in
_MAX_SESSIONS = 1000  # the oldest ends for another


class Sessions:
    """The sessions of one server, which end with it, with its configuration, or after twelve hours."""

    def __init__(self, tokens: AdminTokens, clock: Callable[[], float] = time.monotonic) -> None:
        """Let those in who have one of *tokens*."""
        self._tokens = tokens
        self._holders: TTLCache[str, Holder] = TTLCache(_MAX_SESSIONS, _LASTS, clock)

    def holder(self, request: web.Request) -> Holder | None:
        """Return whose token or session *request* shows; None where it shows none that counts."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return self._tokens.holder(token.strip())
        return self._holders.get(request.cookies.get(_COOKIE, ""))

    def begin(self, token: str, response: web.Response, *, is_tls: bool) -> Holder | None:
        """Begin a session for the holder of *token*, whose cookie *response* sets; None where it is nobody's."""
        holder = self._tokens.holder(token)
        if holder is not None:
            name = secrets.token_urlsafe()
            self._holders[name] = holder
            response.set_cookie(_COOKIE, name, max_age=int(_LASTS), httponly=True, samesite="Strict", secure=is_tls)
        return holder

    def end(self, request: web.Request, response: web.Response) -> None:
        """End the session of *request*, if it has one."""
        self._holders.pop(request.cookies.get(_COOKIE, ""), None)
        response.del_cookie(_COOKIE, httponly=True, samesite="Strict")


def shows_credentials(request: web.Request) -> bool:
    return "Authorization" in request.headers or _COOKIE in request.cookies
