"""How a command reaches a store: through the server that holds it, or, where none does, in the directory itself."""

import asyncio
import contextlib
import json
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

import typer

from regproxy.cli.admin import NoAnswer, SaysNo, opened, store_served, url_of
from regproxy.cli.configuration import loaded
from regproxy.cli.terminal.progress import shown
from regproxy.config import Settings
from regproxy.maintenance.backup import LISTS, InvalidBackup, parts
from regproxy.maintenance.progress import JobProgress
from regproxy.policy.routing import Routes
from regproxy.ports import StoreError

if TYPE_CHECKING:  # not for commands that need no store
    from regproxy.maintenance.inventory import Inventory

Result = TypeVar("Result")

_CHUNK = 1024 * 1024
_READS = frozenset({"images", "backup", "status"})
_MAX_RESTORED = 500  # entries in one request: a request has 1 MiB, and an entry less than 2 KiB


class _Held(Exception):
    """The store cannot be opened here."""


@dataclass(frozen=True, slots=True)
class Target:
    """Which store is meant: that of the server at *admin*, or the configured one; *is_default* where neither was named."""

    settings: Settings
    admin: str | None
    is_default: bool


def target(config: Path | None, admin: str | None) -> Target:
    """Load the configuration, and find which store is meant; print every mistake and end the program where there is one."""
    names_root = any(name.upper() == "REGPROXY__STORE__ROOT" for name in os.environ)
    return Target(loaded(config), admin, is_default=config is None and not names_root)


def ask(target: Target, act: str, **arguments: object) -> dict[str, Any]:
    """Run an operation of `Inventory`, or print why not and exit."""

    async def here(inventory: "Inventory") -> dict[str, Any]:
        found: dict[str, Any] = await getattr(inventory, act)(**arguments)
        return found

    def there() -> dict[str, Any]:
        body = None if act in _READS else json.dumps(arguments).encode()
        with opened(target.settings, target.admin, "POST" if body else "GET", f"store/{act}", body) as response:
            return dict(json.load(response))

    return _either(target, here, there)


def work(target: Target, act: str, **arguments: object) -> dict[str, Any]:
    """Run a long operation of `MaintenanceJobs`, and show its progress."""
    with shown() as progress:
        return _either(
            target,
            lambda inventory: getattr(inventory.jobs, act)(progress, **arguments),
            lambda: _result(opened(target.settings, target.admin, "POST", f"store/{act}", json.dumps(arguments).encode()), progress),
        )


def bring_in(target: Target, file: BinaryIO, name: str | None) -> dict[str, Any]:
    """Import the images of a tar into the store."""
    query = {} if name is None else {"name": name}
    with shown() as progress:
        return _either(
            target,
            lambda inventory: inventory.jobs.bring_in(file, name, progress),
            lambda: _result(opened(target.settings, target.admin, "POST", "store/import", file, "application/x-tar", **query), progress),
            may_begin=True,
        )


def export(target: Target, names: list[str], file: BinaryIO) -> None:
    """Write images into a tar."""

    async def here(inventory: "Inventory") -> None:
        planned = await inventory.jobs.export(names)
        progress.total = planned.size
        async for chunk in planned.chunks():
            _write(chunk)

    def there() -> None:
        with opened(target.settings, target.admin, "GET", "store/export", image=names) as response:
            progress.total = response.length or 0
            while chunk := response.read(_CHUNK):
                _write(chunk)
        if progress.done != progress.total:
            raise SaysNo("the server broke off, and its log says why: a damaged blob is put aside, so pull its image again")

    def _write(chunk: bytes) -> None:
        file.write(chunk)
        progress.advance(len(chunk))

    with shown() as progress:
        _either(target, here, there)


def restore(target: Target, document: Mapping[str, Any]) -> dict[str, int]:
    """Give back what operators decided, and count it."""
    counts = dict.fromkeys(LISTS, 0)
    sizes = {name: len(document.get(name) or []) for name in LISTS}

    async def here(inventory: "Inventory") -> None:
        _add(await inventory.restore(document))

    def there() -> None:
        for part in parts(document, _MAX_RESTORED):
            try:
                with opened(target.settings, target.admin, "POST", "store/restore", json.dumps(part).encode()) as response:
                    _add(json.load(response))
            except (SaysNo, NoAnswer, OSError, HTTPException, ValueError) as error:
                done, wanted = (", ".join(f"{each[name]} {name}" for name in LISTS) for each in (counts, sizes))
                raise SaysNo(f"{error}; restored so far: {done} of {wanted}: run it again, twice is as once") from error

    def _add(restored: Mapping[str, Any]) -> None:
        for name in LISTS:
            counts[name] += int(restored[name])

    _either(target, here, there, may_begin=True)
    return counts


def _either(
    target: Target, here: Callable[["Inventory"], Awaitable[Result]], there: Callable[[], Result], *, may_begin: bool = False
) -> Result:
    """Work through the server that holds the store, or in its directory if no server does; where neither is possible, print why and exit.

    The answer is about the store that is meant, and never about another one: a server elsewhere is only asked where it is named, or where
    the configuration names no place for a store.
    """
    from regproxy.maintenance.exporter import NotWhole  # noqa: PLC0415
    from regproxy.maintenance.inventory import Staying  # noqa: PLC0415

    async def done() -> Result:
        async with _opened_here(target.settings) as inventory:
            return await here(inventory)

    try:
        if target.admin or _is_elsewhere(target, may_begin=may_begin):
            return there()
        try:
            return asyncio.run(done())
        except _Held as held:
            return _over_there(there, str(held))
    except (SaysNo, NoAnswer, Staying, NotWhole, InvalidBackup, StoreError, OSError, HTTPException, ValueError, LookupError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None


def _is_elsewhere(target: Target, *, may_begin: bool) -> bool:
    """Report whether to ask the server at the configured admin port, and print which store it has where that is another one.

    Raise `SaysNo` where there is no store to work in: none is made by asking for it.
    """
    root = target.settings.store.root
    url = url_of(target.settings)
    served = store_served(target.settings)
    if served == str(root):
        return True
    if served is not None and target.is_default:
        typer.echo(f"the store at {served}, held by the regproxy at {url}", err=True)
        return True
    if not (root / "layout").exists() and not may_begin:
        nobody = f"the regproxy at {url} holds another, {served}" if served else f"no regproxy answers at {url}"
        raise SaysNo(f"there is no store at {root}, and {nobody}: name a server by --admin, or a configuration by --config")
    return False


def _over_there(there: Callable[[], Result], why_not_here: str) -> Result:
    try:
        return there()
    except NoAnswer as error:
        raise NoAnswer(f"{why_not_here}; and {error}") from error


@contextlib.asynccontextmanager
async def _opened_here(settings: Settings) -> AsyncIterator["Inventory"]:
    from regproxy.maintenance.evictor import Evictor  # noqa: PLC0415
    from regproxy.pull.usage import Usage  # noqa: PLC0415
    from regproxy.wiring import inventory_of, kept, remote, uploading  # noqa: PLC0415

    async with contextlib.AsyncExitStack() as stack:
        try:
            store, index = await stack.enter_async_context(kept(settings))
        except StoreError as error:
            raise _Held(str(error)) from error
        ledger = index.ledger()
        evictor = Evictor(store, ledger, Usage(ledger, time.time), time.time, leisure=0.0)  # nobody is served meanwhile
        behind = await stack.enter_async_context(uploading(settings, remote(settings), store, index))
        yield inventory_of(store, index, evictor, Routes(settings.upstreams, settings.default_upstream), behind=behind)


def _result(response: HTTPResponse, progress: JobProgress) -> dict[str, Any]:
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
