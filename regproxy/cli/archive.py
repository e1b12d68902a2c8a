"""`regproxy store export` and `import`: how a cluster without a network is filled."""

import os
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from regproxy.cli import asking
from regproxy.cli.admin import Admin
from regproxy.cli.configuration import ConfigFile
from regproxy.cli.terminal import tables

Archive = Annotated[Path, typer.Argument(metavar="FILE", help="A tar.")]
Names = Annotated[list[str], typer.Argument(metavar="IMAGE...", help="nginx:1.27, docker.io/library/nginx:1.27, or a digest.")]
NewName = Annotated[str | None, typer.Option("--as", metavar="IMAGE", help="The name of the only image in it.")]


def export(file: Archive, images: Names, *, config: ConfigFile = None, admin: Admin = None) -> None:
    """Write images into a tar that skopeo and `ctr images import` read."""
    store = asking.target(config, admin)
    try:
        descriptor, name = tempfile.mkstemp(prefix=f"{file.name}.", dir=file.parent)  # half a tar is worse than none, or than the last one
    except OSError as error:
        raise _refused(str(error)) from None
    unfinished = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as tar:
            asking.export(store, images, tar)
            os.fchmod(descriptor, 0o666 & ~_umask())
        unfinished.rename(file)
        tables.say(f"exported {', '.join(images)} to {file}: {tables.size(file.stat().st_size)}")
    except OSError as error:
        raise _refused(str(error)) from None
    finally:
        unfinished.unlink(missing_ok=True)


def import_(file: Archive, *, name: NewName = None, config: ConfigFile = None, admin: Admin = None) -> None:
    """Import images from an OCI image layout or a `docker save` tar into the store."""
    store = asking.target(config, admin)
    try:
        with file.open("rb") as tar:
            kept = asking.bring_in(store, tar, name)
    except OSError as error:
        raise _refused(str(error)) from None
    for each in kept["images"]:
        tables.say(f"imported {each}")


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _refused(reason: str) -> typer.Exit:
    typer.echo(reason, err=True)
    return typer.Exit(1)
