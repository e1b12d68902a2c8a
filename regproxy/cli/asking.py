"""How a command reaches a store: through the server that holds it, or, where none does, in the directory itself."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from http.client import HTTPException, HTTPResponse
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

import typer

from regproxy.cli.admin import NoAnswer, SaysNo, opened
from regproxy.cli.progress import shown
from regproxy.config import Settings
from regproxy.ports import StoreError
from regproxy.pull.progress import Progress

if TYPE_CHECKING:  # not for commands that need no store
    from regproxy.pull.holdings import Holdings

Result = TypeVar("Result")

_CHUNK = 1024 * 1024


class _Held(Exception):
    """The store cannot be opened here."""


def ask(settings: Settings, act: str, **arguments: object) -> dict[str, Any]:
    """Have one of the acts of `Holdings` done, or print why not and end the program."""

    async def here(holdings: "Holdings") -> dict[str, Any]:
        found: dict[str, Any] = await getattr(holdings, act)(**arguments)
        return found

    def there() -> dict[str, Any]:
        body = None if act == "images" else json.dumps(arguments).encode()
        with opened(settings, None, "POST" if body else "GET", f"store/{act}", body) as response:
            return dict(json.load(response))

    return _either(settings, here, there)


def work(settings: Settings, act: str, **arguments: object) -> dict[str, Any]:
    """Have one of the long acts of `Upkeep` done, and show how far it is."""
    with shown() as progress:
        return _either(
            settings,
            lambda holdings: getattr(holdings.upkeep, act)(progress, **arguments),
            lambda: _result(opened(settings, None, "POST", f"store/{act}", json.dumps(arguments).encode()), progress),
        )


def bring_in(settings: Settings, file: BinaryIO, name: str | None) -> dict[str, Any]:
    """Take the images of a tar into the store."""
    query = {} if name is None else {"name": name}
    with shown() as progress:
        return _either(
            settings,
            lambda holdings: holdings.upkeep.bring_in(file, name, progress),
            lambda: _result(opened(settings, None, "POST", "store/import", file, "application/x-tar", **query), progress),
        )


def export(settings: Settings, names: list[str], file: BinaryIO) -> None:
    """Write images into a tar."""

    async def here(holdings: "Holdings") -> None:
        planned = await holdings.upkeep.export(names)
        progress.total = planned.size
        async for chunk in planned.chunks():
            _write(chunk)

    def there() -> None:
        with opened(settings, None, "GET", "store/export", image=names) as response:
            progress.total = response.length or 0
            while chunk := response.read(_CHUNK):
                _write(chunk)
        if progress.done != progress.total:
            raise SaysNo("the server broke off, and its log says why: a damaged blob is put aside, so pull its image again")

    def _write(chunk: bytes) -> None:
        file.write(chunk)
        progress.advance(len(chunk))

    with shown() as progress:
        _either(settings, here, there)


def _either(settings: Settings, here: Callable[["Holdings"], Awaitable[Result]], there: Callable[[], Result]) -> Result:
    """Work in the directory if nobody holds it, else through its server; where neither is possible, say why and end the program."""
    from regproxy.pull.export import NotWhole  # noqa: PLC0415
    from regproxy.pull.holdings import Staying  # noqa: PLC0415

    async def done() -> Result:
        async with _opened_here(settings) as holdings:
            return await here(holdings)

    try:
        try:
            return asyncio.run(done())
        except _Held as held:
            return _over_there(there, str(held))
    except (SaysNo, NoAnswer, Staying, NotWhole, StoreError, OSError, HTTPException, ValueError, LookupError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None


def _over_there(there: Callable[[], Result], why_not_here: str) -> Result:
    try:
        return there()
    except NoAnswer as error:
        raise NoAnswer(f"{why_not_here}; and {error}") from error


@contextlib.asynccontextmanager
async def _opened_here(settings: Settings) -> AsyncIterator["Holdings"]:
    from regproxy.pull.holdings import Holdings  # noqa: PLC0415
    from regproxy.pull.sweeper import Sweeper  # noqa: PLC0415
    from regproxy.pull.upkeep import Upkeep  # noqa: PLC0415
    from regproxy.pull.uses import Uses  # noqa: PLC0415
    from regproxy.wiring import kept  # noqa: PLC0415

    async with contextlib.AsyncExitStack() as stack:
        try:
            store, index = await stack.enter_async_context(kept(settings))
        except StoreError as error:
            raise _Held(str(error)) from error
        ledger = index.ledger()
        sweeper = Sweeper(store, ledger, Uses(ledger, time.time), time.time, leisure=0.0)  # nobody is served meanwhile
        yield Holdings(ledger, sweeper, Upkeep(store, index, ledger, sweeper, time.time))


def _result(response: HTTPResponse, progress: Progress) -> dict[str, Any]:
    """Read lines of JSON, of which the last one has the result."""
    with response:
        for line in response:
            told = json.loads(line)
            if "error" in told:
                raise SaysNo(told["error"])
            if "result" in told:
                return dict(told["result"])
            progress.total, progress.done = told["total"], told["done"]
            progress.tell(progress)
    raise SaysNo("the server broke off, and its log says why")
