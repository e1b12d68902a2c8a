"""`regproxy freeze`, `unfreeze`, `history` and `rollback`: make tags keep their meaning, follow upstream again, or mean what they did."""

import json
import time
from collections.abc import Mapping, Sequence
from typing import Annotated, TypeAlias

import typer

from regproxy.cli.admin import Admin, asked
from regproxy.cli.configuration import ConfigFile, loaded
from regproxy.cli.terminal.examples import examples

app = typer.Typer()

_NAMES = "nginx:1.27, docker.io/library/nginx:1.27, a repository, or a pattern: 'docker.io/library/*'"

Image: TypeAlias = Annotated[str, typer.Argument(help=f"{_NAMES}.")]
MaybeImage: TypeAlias = Annotated[str | None, typer.Argument(metavar="[IMAGE]", help=f"{_NAMES}.")]
TagName: TypeAlias = Annotated[str, typer.Argument(metavar="IMAGE", help="An image with a tag, as in docker pull.")]
Held: TypeAlias = Annotated[str | None, typer.Option("--digest", help="What it shall mean; without it, what it means now.")]


@app.command(epilog=examples("regproxy freeze", "regproxy freeze nginx:1.27", "regproxy freeze 'docker.io/library/*'"))
def freeze(image: MaybeImage = None, digest: Held = None, config: ConfigFile = None, admin: Admin = None) -> None:
    """Hold an image, a repository or a pattern to what it means now; without one, list what is frozen."""
    settings = loaded(config)
    if image is None:
        frozen = asked(settings, admin, "GET", "freezes")["freezes"]
        for each in frozen:
            typer.echo(f"{each['pattern']}  {each['digest'] or _meaning(each['pattern'])}")
        if not frozen:
            typer.echo("nothing is frozen", err=True)
        return
    held = asked(settings, admin, "POST", "freezes", {"pattern": image, "digest": digest})
    typer.echo(f"frozen {held['pattern']}: {held['digest'] or _meaning(held['pattern'])}")


@app.command(epilog=examples("regproxy unfreeze nginx:1.27"))
def unfreeze(image: Image, config: ConfigFile = None, admin: Admin = None) -> None:
    """Follow upstream again."""
    asked(loaded(config), admin, "DELETE", "freezes", pattern=image)
    typer.echo(f"unfrozen {image}: upstream says again what it means")


@app.command(epilog=examples("regproxy history nginx:1.27"))
def history(
    image: TagName,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    config: ConfigFile = None,
    admin: Admin = None,
) -> None:
    """List what a tag meant, the last first, and since when that was seen here."""
    found = asked(loaded(config), admin, "GET", "tag-history", image=image)
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    for each in found["meanings"]:
        marks = [mark for mark, is_so in _marks(each, found) if is_so and each["digest"] is not None]
        since = _moment(each["since"])
        typer.echo("  ".join([since, each["digest"] or "deleted upstream", *marks]))
    if (waits := found.get("waits")) is not None:
        typer.echo(f"{waits['digest']} is served from {_moment(waits['until'])} on (cooldown)")


@app.command(epilog=examples("regproxy rollback nginx:1.27", "regproxy rollback nginx:1.27 --to sha256:..."))
def rollback(
    image: TagName,
    to: Annotated[str | None, typer.Option(metavar="DIGEST", help="What it shall mean; without it, what it meant before.")] = None,
    config: ConfigFile = None,
    admin: Admin = None,
) -> None:
    """Freeze a tag to what it meant before; once more, to what it meant before that."""
    done = asked(loaded(config), admin, "POST", "rollback", {"image": image, "digest": to})
    typer.echo(f"{done['name']} is {done['digest']} again, and frozen; it was {done['before']}: regproxy unfreeze {image} follows upstream")
    if not done["is_here"]:
        typer.echo("that image is not in the store: its next pull fetches it, if upstream still has it", err=True)


def _marks(each: Mapping[str, object], found: Mapping[str, object]) -> Sequence[tuple[str, bool]]:
    is_frozen = each["digest"] == found["frozen"]
    is_held_back = found.get("waits") is not None and each["digest"] == found.get("served")
    return ("frozen", is_frozen), ("served", is_held_back), ("not stored", not each["is_here"])


def _moment(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def _meaning(pattern: str) -> str:
    """Return what tags without a digest are held to; a single tag without one is not known yet, or it would have one."""
    if any(sign in pattern for sign in "*?["):
        return "each tag is held to what it means now"
    return "not known here yet: it will be held to what its first pull finds"
