"""`regproxy store`: what is in the store, what it costs, what may go."""

from typing import Annotated, Any, TypeAlias

import typer

from regproxy.cli.admin import Admin
from regproxy.cli.archive import export, import_
from regproxy.cli.asking import ask, target, work
from regproxy.cli.backup import backup, restore
from regproxy.cli.configuration import ConfigFile
from regproxy.cli.terminal import tables
from regproxy.cli.terminal.examples import examples
from regproxy.config.units import seconds

app = typer.Typer(name="store", no_args_is_help=True, help="Look into the store, and tidy it up; beside a running server too.")

app.command(epilog=examples("regproxy store export images.tar nginx:1.27 quay.io/prometheus/busybox"))(export)
app.command("import", epilog=examples("regproxy store import images.tar", "regproxy store import app.tar --as ghcr.io/org/app:2"))(import_)
app.command(epilog=examples("regproxy store backup regproxy-backup.json"))(backup)
app.command(epilog=examples("regproxy store restore regproxy-backup.json"))(restore)

ImageName: TypeAlias = Annotated[str, typer.Argument(metavar="IMAGE", help="nginx:1.27, docker.io/library/nginx:1.27, or a digest.")]
Json: TypeAlias = Annotated[bool, typer.Option("--json", help="For programs.")]
DryRun: TypeAlias = Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")]


@app.command("ls", epilog=examples("regproxy store ls", "regproxy store ls --json --admin http://regproxy.example:5001"))
def list_images(*, config: ConfigFile = None, admin: Admin = None, json: Json = False) -> None:
    """List the images, the last used first."""
    answer = ask(target(config, admin), "images")
    if json:
        tables.as_json(answer)
        return
    rows = [(tables.name(each), tables.size(each["size"]), tables.ago(each["used_at"]), _stays(each)) for each in answer["images"]]
    tables.table(("IMAGE", "SIZE", "USED", ""), rows, right=("SIZE",))


@app.command("du", epilog=examples("regproxy store du"))
def usage(*, config: ConfigFile = None, admin: Admin = None, json: Json = False) -> None:
    """Return what each image costs: alone, which is what removing it frees, and shared with others."""
    answer = ask(target(config, admin), "images")
    if json:
        tables.as_json(answer)
        return
    images = sorted(answer["images"], key=lambda each: -int(each["alone"]))
    rows = [(tables.name(each), *map(tables.size, (each["alone"], each["size"] - each["alone"], each["size"]))) for each in images]
    total = ("all, shared ones once", "", "", tables.size(answer["bytes"]))
    tables.table(("IMAGE", "ALONE", "SHARED", "SIZE"), [*rows, total], right=("ALONE", "SHARED", "SIZE"))


@app.command(epilog=examples("regproxy store show nginx:1.27"))
def show(image: ImageName, *, config: ConfigFile = None, admin: Admin = None, json: Json = False) -> None:
    """Show an image and its parts."""
    answer = ask(target(config, admin), "show", image=image)
    if json:
        tables.as_json(answer)
        return
    tables.say(f"{tables.name(answer)}\n{answer['digest']}\nused {tables.ago(answer['used_at'])} {_stays(answer)}")
    rows = [(each["digest"], each["media_type"], tables.size(each["size"]), str(each["shared_with"] or "")) for each in answer["parts"]]
    tables.table(("PART", "TYPE", "SIZE", "ALSO IN"), rows, right=("SIZE", "ALSO IN"))


@app.command("rm", epilog=examples("regproxy store rm nginx:1.27 --dry-run"))
def remove(image: ImageName, *, config: ConfigFile = None, admin: Admin = None, dry_run: DryRun = False) -> None:
    """Remove an image, and what only it needs."""
    answer = ask(target(config, admin), "remove", image=image, dry_run=dry_run)
    tables.say(f"{_would(dry_run)} {tables.name(answer)}: {tables.size(answer['bytes'])}")


@app.command(epilog=examples("regproxy store pin nginx:1.27"))
def pin(image: ImageName, *, config: ConfigFile = None, admin: Admin = None) -> None:
    """Keep an image, whatever else has to go."""
    answer = ask(target(config, admin), "pin", image=image, pinned=True)
    tables.say(f"pinned {tables.name(answer)}: it stays until `regproxy store unpin`")


@app.command(epilog=examples("regproxy store unpin nginx:1.27"))
def unpin(image: ImageName, *, config: ConfigFile = None, admin: Admin = None) -> None:
    """Allow an image to be evicted again."""
    answer = ask(target(config, admin), "pin", image=image, pinned=False)
    tables.say(f"unpinned {tables.name(answer)}")


@app.command("gc", epilog=examples("regproxy store gc --unused-for 14d --dry-run"))
def collect(
    *, unused_for: str = "30d", config: ConfigFile = None, admin: Admin = None, dry_run: DryRun = False, json: Json = False
) -> None:
    """Remove images that were not pulled for a while and are neither pinned nor frozen."""
    try:
        age = seconds(unused_for)
    except ValueError as error:
        raise typer.BadParameter(f"{unused_for!r} {error}", param_hint="--unused-for") from None
    answer = work(target(config, admin), "collect", unused_for=age, dry_run=dry_run)
    if json:
        tables.as_json(answer)
        return
    rows = [(tables.name(each), tables.size(each["bytes"]), tables.ago(each["used_at"])) for each in answer["removed"]]
    if rows:
        tables.table(("IMAGE", "SIZE", "USED"), rows, right=("SIZE",))
    tables.say(f"{_would(dry_run)} {len(rows)} images and lone blobs: {tables.size(answer['bytes'])}")


@app.command(epilog=examples("regproxy store verify"))
def verify(*, config: ConfigFile = None, admin: Admin = None, json: Json = False) -> None:
    """Read and hash all content; damaged content is quarantined, and the exit status is 1."""
    answer = work(target(config, admin), "verify")
    _told(answer, f"{answer['damaged']} damaged", json=json)
    raise typer.Exit(1 if answer["damaged"] else 0)


@app.command(epilog=examples("regproxy store rebuild"))
def rebuild(*, config: ConfigFile = None, admin: Admin = None, json: Json = False) -> None:
    """Rebuild the index from the files, as every start does too."""
    answer = work(target(config, admin), "rebuild")
    line = "{adopted} found and recorded, {lost} recorded and not there, {damaged} damaged".format(**answer)
    _told(answer, line, json=json)


@app.command(epilog=examples("regproxy store status"))
def status(*, config: ConfigFile = None, admin: Admin = None, json: Json = False) -> None:
    """Return how much is in the store, and what waits for the object store behind it; exit status 1 while that takes nothing."""
    answer = ask(target(config, admin), "status")
    behind = answer["behind"]
    lines = [f"{answer['count']} blobs and manifests on the disk: {tables.size(answer['bytes'])}"]
    if behind is not None:
        lines.append(f"behind it {behind['place']}: {behind['pending']} entries wait, {tables.size(behind['pending_bytes'])} of content")
        lines += [f"nothing can be written there: {behind['trouble']}"] if behind["trouble"] else []
    _told(answer, "\n".join(lines), json=json)
    raise typer.Exit(1 if behind is not None and behind["trouble"] else 0)


@app.command(epilog=examples("regproxy store push"))
def push(*, config: ConfigFile = None, admin: Admin = None, json: Json = False) -> None:
    """Write everything that is here to the object store behind the disk, but for what is there; whatever ends this, it is gone on with."""
    answer = work(target(config, admin), "push")
    _told(answer, f"{tables.size(answer['bytes'])} of content is at {answer['place']}", json=json)


@app.command(epilog=examples("regproxy store check"))
def check(*, config: ConfigFile = None, admin: Admin = None, json: Json = False) -> None:
    """List what is in the object store behind the disk; what is missing there is written again, and the exit status is 1."""
    answer = work(target(config, admin), "check")
    line = "{blobs} blobs and manifests, {missing} missing, {going} about to be evicted".format(**answer)
    _told(answer, f"{line}: {tables.size(answer['bytes'])}", json=json)
    raise typer.Exit(1 if answer["missing"] else 0)


def _told(answer: dict[str, Any], line: str, *, json: bool) -> None:
    if json:
        tables.as_json(answer)
    else:
        tables.say(line)


def _stays(image: dict[str, Any]) -> str:
    return " ".join(word for word in ("pinned", "frozen") if image[f"is_{word}"])


def _would(dry_run: bool) -> str:  # noqa: FBT001  a word for a word
    return "would remove" if dry_run else "removed"
