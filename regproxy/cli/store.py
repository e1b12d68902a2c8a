"""`regproxy store`: what is in the store, what it costs, what may go."""

import asyncio
from typing import Annotated, Any, TypeAlias

import typer

from regproxy.cli import tables
from regproxy.cli.archive import export, import_
from regproxy.cli.asking import ask
from regproxy.cli.configuration import ConfigFile, loaded
from regproxy.cli.progress import progressing
from regproxy.config.units import seconds
from regproxy.ports import StoreError

app = typer.Typer(name="store", no_args_is_help=True, help="Look into the store, and tidy it up; beside a running server too.")

app.command()(export)
app.command("import")(import_)

ImageName: TypeAlias = Annotated[str, typer.Argument(metavar="IMAGE", help="docker.io/library/nginx:1.27, or a digest.")]
Json: TypeAlias = Annotated[bool, typer.Option("--json", help="For programs.")]
DryRun: TypeAlias = Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")]


@app.command("ls")
def list_images(*, config: ConfigFile = None, json: Json = False) -> None:
    """List the images, the last used first."""
    answer = ask(loaded(config), "images")
    if json:
        tables.as_json(answer)
        return
    rows = [(tables.name(each), tables.size(each["size"]), tables.ago(each["used_at"]), _stays(each)) for each in answer["images"]]
    tables.table(("IMAGE", "SIZE", "USED", ""), rows, right=("SIZE",))


@app.command("du")
def usage(*, config: ConfigFile = None, json: Json = False) -> None:
    """Tell what each image costs: alone, which is what removing it frees, and shared with others."""
    answer = ask(loaded(config), "images")
    if json:
        tables.as_json(answer)
        return
    images = sorted(answer["images"], key=lambda each: -int(each["alone"]))
    rows = [(tables.name(each), *map(tables.size, (each["alone"], each["size"] - each["alone"], each["size"]))) for each in images]
    total = ("all, shared ones once", "", "", tables.size(answer["bytes"]))
    tables.table(("IMAGE", "ALONE", "SHARED", "SIZE"), [*rows, total], right=("ALONE", "SHARED", "SIZE"))


@app.command()
def show(image: ImageName, *, config: ConfigFile = None, json: Json = False) -> None:
    """Show an image and its parts."""
    answer = ask(loaded(config), "show", image=image)
    if json:
        tables.as_json(answer)
        return
    tables.say(f"{tables.name(answer)}\n{answer['digest']}\nused {tables.ago(answer['used_at'])} {_stays(answer)}")
    rows = [(each["digest"], each["media_type"], tables.size(each["size"]), str(each["shared_with"] or "")) for each in answer["parts"]]
    tables.table(("PART", "TYPE", "SIZE", "ALSO IN"), rows, right=("SIZE", "ALSO IN"))


@app.command("rm")
def remove(image: ImageName, *, config: ConfigFile = None, dry_run: DryRun = False) -> None:
    """Remove an image, and what only it needs."""
    answer = ask(loaded(config), "remove", image=image, dry_run=dry_run)
    tables.say(f"{_would(dry_run)} {image}: {tables.size(answer['bytes'])}")


@app.command()
def pin(image: ImageName, *, config: ConfigFile = None) -> None:
    """Keep an image, whatever else has to go."""
    ask(loaded(config), "pin", image=image, pinned=True)


@app.command()
def unpin(image: ImageName, *, config: ConfigFile = None) -> None:
    """Let an image go again when its time comes."""
    ask(loaded(config), "pin", image=image, pinned=False)


@app.command("gc")
def collect(*, unused_for: str = "30d", config: ConfigFile = None, dry_run: DryRun = False, json: Json = False) -> None:
    """Remove what nobody pulled for a while and that is neither pinned nor frozen."""
    try:
        age = seconds(unused_for)
    except ValueError as error:
        raise typer.BadParameter(f"{unused_for!r} {error}", param_hint="--unused-for") from None
    answer = ask(loaded(config), "collect", unused_for=age, dry_run=dry_run)
    if json:
        tables.as_json(answer)
        return
    rows = [(each["digest"], tables.size(each["bytes"]), tables.ago(each["used_at"])) for each in answer["removed"]]
    tables.table(("DIGEST", "SIZE", "USED"), rows, right=("SIZE",))
    tables.say(f"{_would(dry_run)} {len(rows)} images and lone blobs: {tables.size(answer['bytes'])}")


@app.command()
def verify(*, config: ConfigFile = None) -> None:
    """Read and hash everything; what is damaged is put aside. The server must be stopped: a running one does this by itself."""
    damaged = asyncio.run(_gone_through(config, is_verified=True))[2]
    tables.say(f"{damaged} damaged")
    raise typer.Exit(1 if damaged else 0)


@app.command()
def rebuild(*, config: ConfigFile = None) -> None:
    """Make the index say what the files do. The server must be stopped: a running one did this when it started."""
    adopted, lost, damaged = asyncio.run(_gone_through(config, is_verified=False))
    tables.say(f"{adopted} found and recorded, {lost} recorded and not there, {damaged} damaged")


async def _gone_through(config: ConfigFile, *, is_verified: bool) -> tuple[int, int, int]:
    from regproxy.policy.scrubbing import SHELVES  # noqa: PLC0415  with the rest, not for commands that need no store
    from regproxy.pull.stocktaking import Stocktaking  # noqa: PLC0415
    from regproxy.wiring import kept  # noqa: PLC0415

    try:
        async with kept(loaded(config)) as (store, index):
            taking = Stocktaking(store, index.ledger(), doubts_all=is_verified)
            lying = [sum(each.size for each in await store.lying(shelf)) for shelf in SHELVES]
            with progressing(sum(lying)) as advance:
                for shelf, size in zip(SHELVES, lying, strict=True):
                    await taking.take(shelf)
                    advance(size)
            return taking.adopted, taking.lost, taking.damaged
    except StoreError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None


def _stays(image: dict[str, Any]) -> str:
    return " ".join(word for word in ("pinned", "frozen") if image[f"is_{word}"])


def _would(dry_run: bool) -> str:  # noqa: FBT001  a word for a word
    return "would remove" if dry_run else "removed"
