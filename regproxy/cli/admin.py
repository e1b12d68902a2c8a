"""The admin port of a running regproxy, as the commands reach it."""

import json
import urllib.error
import urllib.request
from typing import Annotated, Any, NoReturn, TypeAlias
from urllib.parse import urlencode

import typer

from regproxy.config import Address, Settings

_FAILED = 1  # exit status: regproxy is not there, or says no
_PATIENCE = 60.0  # seconds; an explanation asks every host, dead ones too

Admin: TypeAlias = Annotated[
    str | None, typer.Option("--admin", metavar="URL", envvar="REGPROXY_ADMIN", help="The admin port; without it, as configured.")
]


def asked(settings: Settings, admin: str | None, method: str, path: str, body: object = None, **query: str) -> Any:  # noqa: ANN401  JSON
    """Ask the admin API and give its answer; where there is none, say why and end the program."""
    url = f"{(admin or _url(settings.admin_listen)).rstrip('/')}/api/v1/{path}"
    sent = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"} if sent else {}
    request = urllib.request.Request(f"{url}?{urlencode(query)}" if query else url, sent, headers, method=method)  # noqa: S310
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # an HTTP proxy is for the internet, not for this port
    try:
        with opener.open(request, timeout=_PATIENCE) as response:
            return json.loads(response.read() or b"null")
    except urllib.error.HTTPError as error:
        _give_up(_reason(error))
    except (OSError, ValueError) as error:
        _give_up(f"no regproxy answers at {url}: {getattr(error, 'reason', error)}")


def _reason(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.loads(error.read())["error"])
    except (ValueError, KeyError, TypeError):
        return f"the admin port answered {error.code}"


def _give_up(reason: str) -> NoReturn:
    typer.echo(reason, err=True)
    raise typer.Exit(_FAILED)


def _url(address: Address) -> str:
    """Reach what listens everywhere by this machine's own address."""
    local = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address.host, address.host)
    return f"http://{Address(local, address.port)}"
