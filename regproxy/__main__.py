"""`regproxy`, and `python -m regproxy`."""

import gc
import os
import sys
from pathlib import Path

gc.disable()  # until all is imported: next to none of it is garbage, and to look for that takes a tenth of the start

# pydantic would read of every package that is installed whether it is a plugin of pydantic's
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")


def main() -> None:
    """Run the command that the arguments name.

    `serve` as units and images have it needs no typer, which takes 0.1 s of the start and 1 MiB for as long as the server runs.
    """
    match sys.argv[1:]:
        case ["serve"]:
            _serve(os.environ.get("REGPROXY_CONFIG"))
        case ["serve", "--config", config] if not config.startswith("-"):
            _serve(config)
        case _:
            from regproxy.cli import app  # noqa: PLC0415

            app(prog_name="regproxy")


def _serve(config: str | None) -> None:
    from regproxy.server.command import serve  # noqa: PLC0415  not for the other commands

    sys.exit(serve(Path(config) if config else None))


if __name__ == "__main__":
    main()
