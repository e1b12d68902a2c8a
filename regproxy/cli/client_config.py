"""`regproxy client-config RUNTIME`: print, write, undo or check what makes a container runtime pull through us."""

from enum import Enum
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from regproxy.cli.terminal.examples import examples
from regproxy.runtimes.apply import Host
from regproxy.runtimes.atomic_files import CannotApply
from regproxy.runtimes.model import CA_FILE, Endpoint, Plan, Runtime, Unsupported, Wanted
from regproxy.runtimes.registered import RUNTIMES

app = typer.Typer()

RuntimeName = Enum("RuntimeName", {name: name for name in RUNTIMES})  # type: ignore[misc]  # typer wants an enumeration

ROOT_HELP = "A host's file system (a directory with `etc` in it), or the runtime's own directory, such as certs.d."


@app.command(
    epilog=examples(
        "regproxy client-config containerd --endpoint http://regproxy.example:5000 --apply",
        "regproxy client-config docker --endpoint http://regproxy.example:5000 --check",
        "regproxy client-config containerd --undo",
    )
)
def client_config(
    runtime: Annotated[RuntimeName, typer.Argument(metavar="RUNTIME", help=", ".join(RUNTIMES), show_default=False)],
    *,
    endpoint: Annotated[str | None, typer.Option(metavar="URL", help="Where the cache is: http://regproxy.example:5000.")] = None,
    apply: Annotated[bool, typer.Option("--apply", help="Write the files, with one backup of each, made once.")] = False,
    undo: Annotated[bool, typer.Option("--undo", help="Give back the files as they were before --apply.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Say what is not as it should be. Exit with 0: all is; 1: not; 2: cannot tell.")
    ] = False,
    root: Annotated[Path, typer.Option(metavar="DIR", help=ROOT_HELP)] = Path("/"),
    registry: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="One registry, such as docker.io; may be repeated. Without it, all.")
    ] = None,
    ca: Annotated[Path | None, typer.Option(metavar="FILE", help="The certificates that vouch for an https endpoint.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Leave no way around the cache: its rules hold, and so do its outages.")] = False,
    edit_config: Annotated[bool, typer.Option("--edit-config", help="Set config_path in containerd's config.toml too.")] = False,
) -> None:
    """Print what makes a container runtime pull through the cache; or write it, undo it, check it. Nothing is ever restarted."""
    if apply + undo + check > 1:
        _fail("--apply, --undo and --check exclude each other", 2)
    chosen = RUNTIMES[runtime.value]
    host = Host.at(root, chosen)
    try:
        if undo:
            _undo(chosen, host)
            return
        if endpoint is None:
            _fail("--endpoint is missing: the URL of the cache as this machine reaches it, such as http://regproxy.example:5000", 2)
        wanted = Wanted(Endpoint.parse(endpoint), tuple(registry or ()), _certificates(ca), strict, edit_config, known_registries())
        if check:
            _check(chosen, host, wanted)
            return
        current = host.current(chosen, wanted)
        plan = chosen.configure(host.originals(current), wanted)
        if apply:
            for path in host.apply(plan, current):
                typer.echo(f"wrote {path}")
        else:
            _print(plan, ca, host)
    except (CannotApply, Unsupported) as error:
        _fail(str(error), 2 if check else 1)
    for note in plan.notes:
        typer.echo(note, err=True)


def _undo(runtime: Runtime, host: Host) -> None:
    undone = host.undo(runtime)
    for path in undone.restored:
        typer.echo(f"restored {path}")
    for path in undone.removed:
        typer.echo(f"removed {path}")
    for told in undone.kept:
        typer.echo(told, err=True)
    if undone.kept:
        raise typer.Exit(1)


def _check(runtime: Runtime, host: Host, wanted: Wanted) -> None:
    plan = runtime.configure(host.current(runtime, wanted), wanted)
    differences = [f"{host.shown(file.path)}: {reason}" for file in plan.files for reason in file.reasons]
    for each in differences:
        typer.echo(each)
    if differences:
        raise typer.Exit(1)


def _print(plan: Plan, ca: Path | None, host: Host) -> None:
    """Print whole files, and on the other stream where they go: one file alone can be piped into its place."""
    files = [file for file in plan.files if ca is None or not file.path.endswith((f"/{CA_FILE}", "/ca.crt"))]
    for file in plan.files:
        if file not in files:
            typer.echo(f"{host.shown(file.path)} is a copy of {ca}", err=True)
    for index, file in enumerate(files):
        if len(files) > 1:
            typer.echo("\n" if index else "", nl=False)
            typer.echo(f"# {host.shown(file.path)}")
        else:
            typer.echo(host.shown(file.path), err=True)
        typer.echo(file.text, nl=not file.text.endswith("\n"))


def _certificates(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise CannotApply(f"cannot read {path}, the certificates of --ca: {error}") from None


def known_registries() -> tuple[str, ...]:
    """List the registries that are served unless configured otherwise."""
    from regproxy.config.builtin import BUILTIN  # noqa: PLC0415  not for the other commands

    return tuple(BUILTIN)


def _fail(message: str, status: int) -> NoReturn:
    typer.echo(message, err=True)
    raise typer.Exit(status)
