"""The commands: thin shells over the same code that serves."""

from typing import Annotated

import typer

from regproxy import __version__
from regproxy.cli.check import check
from regproxy.cli.explain import explain
from regproxy.cli.freeze import freeze, unfreeze
from regproxy.cli.serve import serve
from regproxy.cli.store import app as store_app

# Typer's decorated tracebacks print local variables, and with them secrets.
app = typer.Typer(name="regproxy", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
app.command()(serve)
app.command()(check)
app.command()(explain)
app.command()(freeze)
app.command()(unfreeze)
app.add_typer(store_app)


def _print_version(wanted: bool) -> None:  # noqa: FBT001  typer calls it so
    if wanted:
        typer.echo(f"regproxy {__version__}")
        raise typer.Exit


@app.callback()
def regproxy(
    *, _version: Annotated[bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")] = False
) -> None:
    """Keep a copy of what container registries serve, and serve it."""
