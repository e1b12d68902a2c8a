"""`regproxy warm` and `regproxy refresh`: bring images in before they are needed, and look at a tag now."""

import json
import platform
import sys
import time
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeAlias

import typer

from regproxy.cli.admin import Admin, asked
from regproxy.cli.configuration import ConfigFile, loaded
from regproxy.cli.terminal.examples import examples
from regproxy.cli.terminal.layers import shown
from regproxy.config import Settings
from regproxy.policy.platform import Platform
from regproxy.warming.image_list import InvalidImageList, images_in

app = typer.Typer()

_ALL = "all"
_SOME_FAILED = 1  # exit status
_UNUSABLE = 2  # exit status: nothing was begun, or nobody can tell what became of it
_LOOK = 0.5  # seconds between two looks at a job
_MAX_TEXT = 64 * 1024 * 1024  # bytes of a file of images

Images: TypeAlias = Annotated[
    list[str] | None,
    typer.Argument(metavar="IMAGE...", help="As in docker pull; - reads a list or Kubernetes objects from standard input."),
]
File: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--file", "-f", metavar="FILE", help="A list, one image a line, or Kubernetes objects in YAML or JSON, whose images are found."
    ),
]
Platforms: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--platform", metavar="PLATFORM", help="Such as linux/arm64, more than once if need be, or all; without it, this machine's."
    ),
]
Parallel: TypeAlias = Annotated[int, typer.Option(min=1, max=16, help="Images at once.")]


@app.command(
    epilog=examples(
        "regproxy warm nginx:1.27 ghcr.io/org/app:2",
        "kubectl get pods -A -o json | regproxy warm -",
        "helm template my-release my-chart | regproxy warm - --platform linux/arm64",
        "regproxy warm -f images.txt --no-wait",
    )
)
def warm(
    images: Images = None,
    *,
    file: File = None,
    platforms: Platforms = None,
    parallel: Parallel = 2,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="End when all is in the store, or at once.")] = True,
    jobs: Annotated[bool, typer.Option("--jobs", help="List the warm-ups that were begun, and when which are due.")] = False,
    cancel: Annotated[int | None, typer.Option(metavar="ID", help="End a warm-up; what it brought in stays.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    config: ConfigFile = None,
    admin: Admin = None,
) -> None:
    """Bring images into the store of a running server. Exit with 0: all are there; 1: some failed; 2: nothing was begun."""
    settings = loaded(config)
    if cancel is not None:
        asked(settings, admin, "DELETE", f"warm/{cancel}")
        typer.echo(f"cancelled warm-up {cancel}", err=True)
        return
    if jobs:
        _list(asked(settings, admin, "GET", "warm"), as_json=as_json)
        return
    names = _named(images or [], file)
    wanted = [] if platforms == [_ALL] else platforms or [str(Platform.of_machine(platform.machine()))]
    job = asked(settings, admin, "POST", "warm", {"images": names, "platforms": wanted, "parallel": parallel}, status=_UNUSABLE)
    if wait:
        try:
            job = _watched(settings, admin, job)
        except KeyboardInterrupt:
            typer.echo(f"warm-up {job['id']} goes on: regproxy warm --cancel {job['id']} ends it", err=True)
            raise
    if as_json:
        typer.echo(json.dumps(job, indent=2))
    elif wait:
        _tell(job)
    else:
        typer.echo(f"warm-up {job['id']} of {len(job['images'])} images begun: regproxy warm --jobs tells how far it is")
    if wait and job["state"] != "done":
        raise typer.Exit(_SOME_FAILED)


@app.command(epilog=examples("regproxy refresh nginx:1.27"))
def refresh(
    image: Annotated[str, typer.Argument(help="An image with a tag, as in docker pull.")], config: ConfigFile = None, admin: Admin = None
) -> None:
    """Ask the next cache or registry now what a tag means, however fresh its record is, for this replica alone."""
    found = asked(loaded(config), admin, "POST", "refresh", {"image": image})
    typer.echo(f"{found['name']} is {found['digest']} ({found['outcome']})")


def _named(images: list[str], file: Path | None) -> list[str]:
    """Collect the images of the arguments, of a file and of standard input."""
    names = [image for image in images if image != "-"]
    try:
        if "-" in images:
            names += images_in(sys.stdin.buffer.read(_MAX_TEXT).decode())
        if file is not None:
            with file.open("rb") as source:
                names += images_in(source.read(_MAX_TEXT).decode())
    except (OSError, UnicodeDecodeError, InvalidImageList) as error:
        _unusable(f"{file or 'standard input'}: {getattr(error, 'strerror', None) or error}")
    if not names:
        _unusable("no images: name some, or give a list or Kubernetes objects by -f FILE or on standard input (-)")
    return names


def _watched(settings: Settings, admin: str | None, job: dict[str, Any]) -> dict[str, Any]:
    """Show how far the job is until it is over, and return it."""
    with shown() as tell:
        while job["state"] in {"queued", "running"}:
            tell(job)
            time.sleep(_LOOK)
            job = asked(settings, admin, "GET", f"warm/{job['id']}", status=_UNUSABLE)
        tell(job)
    return job


def _tell(job: dict[str, Any]) -> None:
    for image in job["images"]:
        if image["state"] == "failed":
            typer.echo(f"failed {image['name']}: {image['reason']}", err=True)
    counts = job["counts"]
    state = "cancelled, " if job["state"] == "cancelled" else ""
    typer.echo(f"{state}{counts['done']} of {len(job['images'])} images are in the store")


def _list(found: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    for job in found["jobs"]:
        counts = job["counts"]
        typer.echo(
            f"{job['id']}  {job['state']}  {_time(job['created_at'])}  {counts['done']} of {sum(counts.values())} images  {job['origin']}"
        )
    for each in found["schedules"]:
        typer.echo(f"next {_time(each['next_at'])}  {each['cron']}  {', '.join(each['images'])}")
    if not found["jobs"] and not found["schedules"]:
        typer.echo("no warm-up was begun, and none is scheduled", err=True)


def _time(moment: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(moment))


def _unusable(reason: str) -> NoReturn:
    typer.echo(reason, err=True)
    raise typer.Exit(_UNUSABLE)
