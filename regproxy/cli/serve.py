"""`regproxy serve`: load the configuration, then run the server."""

from regproxy.cli.configuration import ConfigFile, loaded


def serve(config: ConfigFile = None) -> None:
    """Serve registries until told to stop."""
    settings = loaded(config)
    from regproxy import server  # noqa: PLC0415  an HTTP stack that other commands and mistakes need not wait for

    server.run(settings)
