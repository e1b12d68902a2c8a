"""`regproxy freeze` and `regproxy unfreeze`: make tags keep their meaning, and follow upstream again."""

from typing import Annotated, TypeAlias

import typer

from regproxy.cli.admin import Admin, asked
from regproxy.cli.configuration import ConfigFile, loaded

_NAMES = "nginx:1.27, docker.io/library/nginx:1.27, a repository, or a pattern: 'docker.io/library/*'"

Image: TypeAlias = Annotated[str, typer.Argument(help=f"{_NAMES}.")]
MaybeImage: TypeAlias = Annotated[str | None, typer.Argument(metavar="[IMAGE]", help=f"{_NAMES}.")]
Held: TypeAlias = Annotated[str | None, typer.Option("--digest", help="What it shall mean; without it, what it means now.")]


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


def unfreeze(image: Image, config: ConfigFile = None, admin: Admin = None) -> None:
    """Follow upstream again."""
    asked(loaded(config), admin, "DELETE", "freezes", pattern=image)
    typer.echo(f"unfrozen {image}: upstream says again what it means")


def _meaning(pattern: str) -> str:
    """Return what tags without a digest are held to; a single tag without one is not known yet, or it would have one."""
    if any(sign in pattern for sign in "*?["):
        return "each tag is held to what it means now"
    return "not known here yet: it will be held to what its first pull finds"
