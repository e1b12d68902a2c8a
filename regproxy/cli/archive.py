"""`regproxy store export` and `import`: how a cluster without a network is filled."""

import asyncio
import tarfile
import time
from pathlib import Path
from typing import Annotated

import typer

from regproxy.cli import tables
from regproxy.cli.configuration import ConfigFile, loaded
from regproxy.cli.progress import progressing
from regproxy.config import Settings
from regproxy.ports import StoreError

Archive = Annotated[Path, typer.Argument(metavar="FILE", help="A tar.")]
Names = Annotated[list[str], typer.Argument(metavar="IMAGE...", help="docker.io/library/nginx:1.27, or a digest.")]
NewName = Annotated[str | None, typer.Option("--as", metavar="IMAGE", help="The name of the only image in it.")]


def export(file: Archive, images: Names, *, config: ConfigFile = None) -> None:
    """Write images into a tar that skopeo and `ctr images import` read. The server must be stopped."""
    asyncio.run(_exported(loaded(config), file, images))


def import_(file: Archive, *, name: NewName = None, config: ConfigFile = None) -> None:
    """Take images from an OCI image layout or a `docker save` tar into the store. The server must be stopped."""
    for each in asyncio.run(_imported(loaded(config), file, name)):
        tables.say(each)


async def _exported(settings: Settings, file: Path, names: list[str]) -> None:
    from regproxy.pull.archive import NotWhole, export  # noqa: PLC0415  not for commands that need no store
    from regproxy.wiring import kept  # noqa: PLC0415

    try:
        async with kept(settings) as (store, index):
            ledger = index.ledger()
            images = {name: await ledger.image(name) for name in names}
            if unknown := [name for name, image in images.items() if image is None]:
                raise _refused(f"the store holds no {', '.join(unknown)}")
            chosen = [image for image in images.values() if image is not None]
            with progressing(sum(image.size for image in chosen)) as advance, tarfile.open(file, "w") as tar:
                await export(store, ledger, chosen, tar, advance)
    except (NotWhole, StoreError, OSError) as error:
        raise _refused(str(error)) from None


async def _imported(settings: Settings, file: Path, name: str | None) -> list[str]:
    from regproxy.pull.archive import Importer  # noqa: PLC0415
    from regproxy.wiring import kept  # noqa: PLC0415

    try:
        async with kept(settings) as (store, index):
            with tarfile.open(file) as tar, progressing(sum(member.size for member in tar)) as advance:
                return await Importer(store, index, tar, time.time(), advance).run(name)
    except (StoreError, ValueError, LookupError, OSError, tarfile.TarError) as error:
        raise _refused(f"{file}: {error}") from None


def _refused(reason: str) -> typer.Exit:
    typer.echo(reason, err=True)
    return typer.Exit(1)
