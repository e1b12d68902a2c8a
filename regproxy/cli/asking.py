"""How a command asks about a store: the server that holds it, or, where none does, the directory itself."""

import asyncio
import json
import time
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import typer

from regproxy.config import Settings
from regproxy.ports import StoreError

_PATIENCE = 300.0  # seconds: removing ten thousand images takes a while


class CannotAnswer(Exception):
    """Neither the server nor the directory can say; the message is for the operator."""


def ask(settings: Settings, act: str, **arguments: object) -> dict[str, Any]:
    """Have one of the acts of `Holdings` done, or print why not and end the program."""
    try:
        try:
            return asyncio.run(_done_here(settings, act, arguments))
        except StoreError as error:
            return _done_there(settings, act, arguments, str(error))
    except CannotAnswer as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None


async def _done_here(settings: Settings, act: str, arguments: dict[str, object]) -> dict[str, Any]:
    from regproxy.pull.holdings import Holdings, Staying, UnknownImage  # noqa: PLC0415  not for commands that need no store
    from regproxy.pull.sweeper import Sweeper  # noqa: PLC0415
    from regproxy.pull.uses import Uses  # noqa: PLC0415
    from regproxy.wiring import kept  # noqa: PLC0415

    async with kept(settings) as (store, index):
        ledger = index.ledger()
        sweeper = Sweeper(store, ledger, Uses(ledger, time.time), tuple, time.time)
        holdings = Holdings(ledger, sweeper, time.time)
        acts = {
            "images": holdings.images,
            "show": holdings.show,
            "remove": holdings.remove,
            "pin": holdings.pin,
            "collect": holdings.collect,
        }
        try:
            return await acts[act](**arguments)  # type: ignore[operator, no-any-return]
        except (UnknownImage, Staying) as error:
            raise CannotAnswer(str(error)) from error


def _done_there(settings: Settings, act: str, arguments: dict[str, object], why: str) -> dict[str, Any]:
    body = None if act == "images" else json.dumps(arguments).encode()
    request = Request(f"http://{settings.admin_listen}/api/v1/store/{act}", body, {"Content-Type": "application/json"})
    try:
        with urlopen(request, timeout=_PATIENCE) as response:  # noqa: S310
            return dict(json.load(response))
    except HTTPError as error:
        raise CannotAnswer(str(json.load(error)["error"])) from error
    except URLError as error:
        raise CannotAnswer(f"{why}; and its server does not answer at {settings.admin_listen}: {error.reason}") from error
