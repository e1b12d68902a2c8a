"""`regproxy freeze` and `regproxy unfreeze`: hold tags to what they mean, and let go of them."""

from typing import Annotated, TypeAlias

import typer

from regproxy.cli.admin import Admin, asked
from regproxy.cli.configuration import ConfigFile, loaded

Image: TypeAlias = Annotated[str, typer.Argument(help="docker.io/library/nginx:1.27, a repository, or a pattern: docker.io/library/*")]
MaybeImage: TypeAlias = Annotated[str | None, typer.Argument(metavar="[IMAGE]", help="As for unfreeze.")]
Held: TypeAlias = Annotated[str | None, typer.Option("--digest", help="What it shall mean; without it, what it means now.")]


def freeze(image: MaybeImage = None, digest: Held = None, config: ConfigFile = None, admin: Admin = None) -> None:
    """Hold an image, a repository or a pattern to what it means now; without one, list what is frozen."""
    settings = loaded(config)
    if image is None:
        for each in asked(settings, admin, "GET", "freezes")["freezes"]:
            typer.echo(_line(each))
        return
    typer.echo(_line(asked(settings, admin, "POST", "freezes", {"pattern": image, "digest": digest})))


def unfreeze(image: Image, config: ConfigFile = None, admin: Admin = None) -> None:
    """Let upstream have its say again."""
    asked(loaded(config), admin, "DELETE", "freezes", pattern=image)


def _line(frozen: dict[str, str | None]) -> str:
    return f"{frozen['pattern']}  {frozen['digest'] or 'as on record'}"
