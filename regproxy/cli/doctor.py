"""`regproxy doctor`: does the runtime of this machine really pull through the cache, and if not, why?"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.text import Text

from regproxy.cli.client_config import ROOT_HELP, RuntimeName, known_registries
from regproxy.cli.terminal.examples import examples
from regproxy.runtimes.apply import Host
from regproxy.runtimes.atomic_files import CannotApply
from regproxy.runtimes.doctor.examination import Pull, examine, parse_version, runtimes_here
from regproxy.runtimes.doctor.finding import Diagnosis
from regproxy.runtimes.model import Endpoint, Runtime, Unsupported
from regproxy.runtimes.registered import RUNTIMES
from regproxy.telemetry.log import plain

app = typer.Typer()


@app.command(epilog=examples("regproxy doctor", "regproxy doctor containerd --endpoint http://regproxy.example:5000 --json"))
def doctor(
    runtime: Annotated[
        RuntimeName | None, typer.Argument(metavar="[RUNTIME]", help="Without it, every runtime that is here.", show_default=False)
    ] = None,
    *,
    endpoint: Annotated[
        str | None, typer.Option(metavar="URL", help="Where the cache is; without it, what the runtime asks first.")
    ] = None,
    root: Annotated[Path, typer.Option(metavar="DIR", help=ROOT_HELP)] = Path("/"),
    cluster: Annotated[str | None, typer.Option(metavar="NAME", help="Whose cache it is to be: the setting `cluster` there.")] = None,
    runtime_version: Annotated[
        str | None, typer.Option(metavar="VERSION", help="The version of containerd, where it cannot be asked.")
    ] = None,
    pull: Annotated[
        bool, typer.Option("--pull", help="Have the runtime pull a tiny image that only the cache has, by its own client, and remove it.")
    ] = False,
    socket: Annotated[
        str | None, typer.Option(metavar="PATH", help="For --pull: the socket of the runtime, where it is not the usual one.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Find every way in which pulls do not go through the cache, and say what to do. Exit with 0: none; 1: some; 2: cannot tell."""
    version = parse_version(runtime_version) if runtime_version else None
    if runtime_version and version is None:
        _cannot_tell(f"{runtime_version!r} is not a version: write it as 1.6.20 or 2.1.0")
    told: list[tuple[Runtime, str | None, Diagnosis]] = []
    try:
        if endpoint is not None:
            Endpoint.parse(endpoint)
        chosen = [RUNTIMES[runtime.value]] if runtime is not None else runtimes_here(Host(root))
        if not chosen:
            _cannot_tell(f"no container runtime has a directory below {root}: name one, regproxy doctor containerd")
        for each in chosen:
            host = Host.at(root, each)
            asked = Pull(socket) if pull else None
            told.append((each, *examine(host, each, endpoint, known_registries(), cluster, version, asked)))
    except (CannotApply, Unsupported) as error:
        _cannot_tell(str(error))
    if as_json:
        typer.echo(json.dumps({"runtimes": [_plain(*found) for found in told]}, indent=2))
    else:
        for found in told:
            _show(*found)
    if any(diagnosis.findings for _, _, diagnosis in told):
        raise typer.Exit(1)


def _plain(runtime: Runtime, endpoint: str | None, diagnosis: Diagnosis) -> dict[str, object]:
    return {"runtime": runtime.name, "endpoint": endpoint, **asdict(diagnosis)}


def _show(runtime: Runtime, endpoint: str | None, diagnosis: Diagnosis) -> None:
    console = Console(soft_wrap=True, highlight=False)
    console.print(_text(f"{runtime.title}, {endpoint or 'no endpoint'}", "bold"))
    for finding in diagnosis.findings:
        console.print(_text(f"FAIL {finding.code}  {finding.what}", "red"))
        console.print(_text(f"     at {finding.where}", "default"))
        console.print(_text(f"     -> {finding.advice}", "yellow"))
    for note in diagnosis.notes:
        console.print(_text(f"     {note}", "default"))
    if not diagnosis.findings:
        console.print(_text("ok   nothing keeps pulls from going through the cache", "green"))


def _cannot_tell(message: str) -> NoReturn:
    typer.echo(message, err=True)
    raise typer.Exit(2)


def _text(line: str, style: str) -> Text:
    """Paint a line; what a file said in it must not paint as well."""
    return Text(plain(line), style=style)
