"""`regproxy check`: is this configuration usable, and what does it come to?"""

import asyncio

import typer

from regproxy.cli.configuration import ConfigFile, loaded
from regproxy.cli.terminal.examples import examples
from regproxy.config.tls import cautions

app = typer.Typer()


@app.command(epilog=examples("regproxy check --config regproxy.yaml"))
def check(config: ConfigFile = None) -> None:
    """Print the effective configuration, secrets hidden; or every mistake in it."""
    settings = loaded(config)
    for caution in cautions(settings.tls, settings.admin_tls):
        typer.echo(f"warning: {caution}: no client will accept it", err=True)
    if exposed := settings.exposed():
        typer.echo(f"warning: private content of {', '.join(exposed)} goes between members of the fleet in clear text: see tls", err=True)
    if settings.fleet is not None:
        from regproxy.wiring import members_caution  # noqa: PLC0415  what only a fleet waits for

        if (members := asyncio.run(members_caution(settings))) is not None:
            typer.echo(f"warning: {members}", err=True)
    typer.echo(settings.as_yaml(), nl=False)
