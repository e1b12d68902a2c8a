"""`regproxy store`: what is in the store, what it costs, what may go."""

from typing import Annotated, Any, TypeAlias

import typer

from regproxy.cli import tables
from regproxy.cli.archive import export, import_
from regproxy.cli.asking import ask, work
from regproxy.cli.configuration import ConfigFile, loaded
from regproxy.config.units import seconds

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
    answer = work(loaded(config), "collect", unused_for=age, dry_run=dry_run)
    if json:
        tables.as_json(answer)
        return
    rows = [(each["digest"], tables.size(each["bytes"]), tables.ago(each["used_at"])) for each in answer["removed"]]
    tables.table(("DIGEST", "SIZE", "USED"), rows, right=("SIZE",))
    tables.say(f"{_would(dry_run)} {len(rows)} images and lone blobs: {tables.size(answer['bytes'])}")


@app.command()
def verify(*, config: ConfigFile = None, json: Json = False) -> None:
    """Read and hash everything; what is damaged is put aside, and the exit status tells of it."""
    answer = work(loaded(config), "verify")
    _told(answer, f"{answer['damaged']} damaged", json=json)
    raise typer.Exit(1 if answer["damaged"] else 0)


@app.command()
def rebuild(*, config: ConfigFile = None, json: Json = False) -> None:
    """Make the index say what the files do, as every start does too."""
    answer = work(loaded(config), "rebuild")
    line = "{adopted} found and recorded, {lost} recorded and not there, {damaged} damaged".format(**answer)
    _told(answer, line, json=json)


def _told(answer: dict[str, Any], line: str, *, json: bool) -> None:
    if json:
        tables.as_json(answer)
    else:
        tables.say(line)


def _stays(image: dict[str, Any]) -> str:
    return " ".join(word for word in ("pinned", "frozen") if image[f"is_{word}"])


def _would(dry_run: bool) -> str:  # noqa: FBT001  a word for a word
    return "would remove" if dry_run else "removed"
