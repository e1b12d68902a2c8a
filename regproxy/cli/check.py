"""`regproxy check`: is this configuration usable, and what does it come to?"""

import typer

from regproxy.cli.configuration import ConfigFile, loaded


def check(config: ConfigFile = None) -> None:
    """Print the effective configuration, secrets hidden; or every mistake in it."""
    typer.echo(loaded(config).as_yaml(), nl=False)
