"""The admin port of a running regproxy, as the commands reach it."""

import http.client
import json
import os
import urllib.error
import urllib.request
from typing import Annotated, Any, BinaryIO, TypeAlias
from urllib.parse import urlencode

import typer

from regproxy.config import Settings

_TOKEN = "REGPROXY_ADMIN_TOKEN"  # noqa: S105 -- the variable that has it
_FAILED = 1  # exit status: regproxy is not there, or says no
_LOOK = 3.0  # seconds to find out whether a server is there
_TIMEOUT = 300.0  # seconds; an explanation asks every host, dead ones too, and ten thousand images are not removed in a moment

Admin: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--admin",
        metavar="URL",
        envvar="REGPROXY_ADMIN",
        help=f"The admin port; without it, as configured. Where it wants a token, {_TOKEN} has it.",
    ),
]


class SaysNo(Exception):
    """The admin port refuses; the message is for the operator."""


class NoAnswer(Exception):
    """The admin port is not there; the message is for the operator."""


def asked(
    settings: Settings, admin: str | None, method: str, path: str, body: object = None, *, status: int = _FAILED, **query: str
) -> Any:  # noqa: ANN401  JSON
    """Return the admin API's answer; where there is none, print why and exit with *status*."""
    sent = None if body is None else json.dumps(body).encode()
    try:
        with opened(settings, admin, method, path, sent, **query) as response:
            return json.loads(response.read() or b"null")
    except (SaysNo, NoAnswer, OSError, http.client.HTTPException, ValueError) as error:  # the last three: it broke off
        typer.echo(str(error), err=True)
        raise typer.Exit(status) from None


def opened(
    settings: Settings,
    admin: str | None,
    method: str,
    path: str,
    body: bytes | BinaryIO | None = None,
    media_type: str = "application/json",
    **query: str | list[str],
) -> http.client.HTTPResponse:
    """Ask, and give the answer to be read and closed; raise `SaysNo` or `NoAnswer`."""
    url = f"{(admin or url_of(settings)).rstrip('/')}/api/v1/{path}"
    headers = {} if body is None else {"Content-Type": media_type, "Content-Length": str(_size(body))}
    request = urllib.request.Request(f"{url}?{urlencode(query, doseq=True)}" if query else url, body, headers, method=method)  # noqa: S310
    return _sent(settings, admin, request, _TIMEOUT)


def store_served(settings: Settings) -> str | None:
    """Return where the store of the regproxy at the configured admin port is; None where none answers."""
    request = urllib.request.Request(f"{url_of(settings)}/api/v1/version")  # noqa: S310
    try:
        with _sent(settings, None, request, _LOOK) as response:
            found = json.load(response).get("store")
            return str(found) if found else None
    except (SaysNo, NoAnswer, http.client.HTTPException, ValueError):
        return None


def _sent(settings: Settings, admin: str | None, request: urllib.request.Request, within: float) -> http.client.HTTPResponse:
    context = settings.admin_tls.own_context() if settings.admin_tls and not admin else None
    if token := os.environ.get(_TOKEN):
        request.add_unredirected_header("Authorization", f"Bearer {token}")
    direct = urllib.request.ProxyHandler({})  # an HTTP proxy is for the internet, not for this port
    opener = urllib.request.build_opener(direct, urllib.request.HTTPSHandler(context=context))
    try:
        response: http.client.HTTPResponse = opener.open(request, timeout=within)
        return response
    except urllib.error.HTTPError as error:
        raise SaysNo(_reason(error)) from error
    except (OSError, ValueError) as error:
        raise NoAnswer(f"no regproxy answers at {request.full_url.partition('?')[0]}: {getattr(error, 'reason', error)}") from error


def _size(body: bytes | BinaryIO) -> int:
    """Return how long a body is; a file is left at its beginning."""
    if isinstance(body, bytes):
        return len(body)
    size = body.seek(0, os.SEEK_END)
    body.seek(0)
    return size


def _reason(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.loads(error.read())["error"])
    except (ValueError, KeyError, TypeError):
        return f"the admin port answered {error.code}"


def url_of(settings: Settings) -> str:
    """Reach what listens everywhere by this machine's own address."""
    return f"{'https' if settings.admin_tls else 'http'}://{settings.admin_listen.from_here()}"
