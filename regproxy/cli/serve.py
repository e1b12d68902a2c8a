"""`regproxy serve`, where its arguments are not those that need no parser."""

import typer

from regproxy.cli.configuration import ConfigFile
from regproxy.cli.terminal.examples import examples

app = typer.Typer()


@app.command(epilog=examples("regproxy serve", "regproxy serve --config /etc/regproxy/regproxy.yaml"))
def serve(config: ConfigFile = None) -> None:
    """Serve registries until told to stop."""
    from regproxy.server import command  # noqa: PLC0415  an HTTP stack that the help need not wait for

    raise typer.Exit(command.serve(config))
