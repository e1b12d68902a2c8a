"""`regproxy serve`: load the configuration, then run the server."""

import os

import typer

from regproxy.cli.configuration import UNUSABLE, ConfigFile, loaded
from regproxy.cli.terminal.examples import examples
from regproxy.config import ConfigError, load
from regproxy.ports import StoreError

app = typer.Typer()

_CANNOT_START = 1  # exit status: the configuration is right, the machine is in the way


@app.command(epilog=examples("regproxy serve", "regproxy serve --config /etc/regproxy/regproxy.yaml"))
def serve(config: ConfigFile = None) -> None:
    """Serve registries until told to stop."""
    settings = loaded(config)
    from regproxy import server  # noqa: PLC0415  an HTTP stack that other commands and mistakes need not wait for

    try:
        server.run(settings, lambda: load(config, os.environ))
    except ConfigError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(UNUSABLE) from None
    except (StoreError, OSError) as error:
        typer.echo(f"regproxy cannot serve: {_reason(error)}", err=True)
        raise typer.Exit(_CANNOT_START) from None


def _reason(error: StoreError | OSError) -> str:
    """Return what went wrong without the number that the system gives it."""
    if isinstance(error, OSError) and error.strerror and error.filename is None:
        return error.strerror
    return str(error)
