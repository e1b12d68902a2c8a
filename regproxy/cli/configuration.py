"""The option `--config`, and what commands do about a configuration that cannot be used."""

import os
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from regproxy.config import ConfigError, Settings, load, overlooked

UNUSABLE = 2  # exit status: nothing was started

ConfigFile: TypeAlias = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", envvar="REGPROXY_CONFIG", help="The configuration; without it, the defaults.")
]


def loaded(path: Path | None) -> Settings:
    """Load the settings, or print every mistake and end the program."""
    for each in overlooked(path, os.environ):
        typer.echo(f"warning: {each}", err=True)
    try:
        return load(path, os.environ)
    except ConfigError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(UNUSABLE) from None
