"""`regproxy store backup` and `restore`: what operators decided, in a file that any later version reads."""

import json
from pathlib import Path
from typing import Annotated

import typer

from regproxy.cli import asking
from regproxy.cli.admin import Admin
from regproxy.cli.configuration import ConfigFile
from regproxy.cli.terminal import tables
from regproxy.maintenance.backup import LISTS, InvalidBackup, read

BackupFile = Annotated[Path, typer.Argument(metavar="FILE", help="A JSON document.")]


def backup(file: BackupFile, *, config: ConfigFile = None, admin: Admin = None) -> None:
    """Write pins, freezes and what frozen tags mean into a file; all else can be pulled again."""
    document = asking.ask(asking.target(config, admin), "backup")
    unfinished = file.with_name(f"{file.name}.unfinished")  # half a backup is worse than none, or than the last one
    try:
        unfinished.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        unfinished.rename(file)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise _refused(str(error)) from None
    tables.say(f"backed up {_counted({name: len(document[name]) for name in LISTS})} to {file}")


def restore(file: BackupFile, *, config: ConfigFile = None, admin: Admin = None) -> None:
    """Add what a backup has to the pins and freezes that there are; of what both have, the backup's meaning counts."""
    store = asking.target(config, admin)
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise _refused(str(error)) from None
    except (ValueError, RecursionError):
        raise _refused(f"{file} is not JSON: `regproxy store backup` writes what this reads") from None
    try:
        read(document)
    except InvalidBackup as error:
        raise _refused(f"{file}: {error}") from None
    tables.say(f"restored {_counted(asking.restore(store, document))}")


def _counted(counts: dict[str, int]) -> str:
    return f"{counts['pins']} pins, {counts['freezes']} freezes and {counts['tags']} frozen tags"


def _refused(reason: str) -> typer.Exit:
    typer.echo(reason, err=True)
    return typer.Exit(1)
