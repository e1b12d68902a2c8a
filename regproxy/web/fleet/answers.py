"""Answers to members: the outcome, its status, and the MAC of both."""

from typing import TypeVar

from aiohttp import web

from regproxy.peers.key_values import NONE
from regproxy.peers.keys import ANSWER, Sealed
from regproxy.peers.reply import BUSY, BYTES, FAILED, MISDIRECTED, OUTCOME, PENDING

_STATUSES = {BYTES: 200, PENDING: 200, NONE: 404, MISDIRECTED: 421, BUSY: 503, FAILED: 503}

Response = TypeVar("Response", bound=web.StreamResponse)


def headed(response: Response, sealed: Sealed, outcome: str) -> Response:
    """Give *response* the head that says *outcome*."""
    response.set_status(_STATUSES[outcome])
    response.headers[OUTCOME] = outcome
    response.headers[ANSWER] = sealed.mac(str(response.status), outcome, "")
    return response


def short(sealed: Sealed, outcome: str, body: bytes = b"") -> web.Response:
    """Answer with *outcome*, and a *body* that has a MAC of its own, or needs none."""
    return headed(web.Response(body=body), sealed, outcome)
