"""`regproxy node-config`: what the chart runs on the nodes of a cluster."""

import os
import signal
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from regproxy.nodes import agent
from regproxy.nodes.cluster import Cluster, ClusterError, Undoing

app = typer.Typer(
    name="node-config",
    help="Keep the container runtime of a node configured while the cache answers. The Helm chart runs this.",
    no_args_is_help=True,
)

_RUNTIME = typer.Argument(metavar="RUNTIME", help="As `regproxy client-config --help` lists them.", show_default=False)
_ROOT = typer.Option(metavar="DIR", help="As for client-config.")
_STATE = typer.Option(metavar="FILE", help="Is written when something was done: applied, withdrawn, undone.")
_NAMESPACE = typer.Option(metavar="NAME", help="The namespace of the release.")
_TIMEOUT = typer.Option(metavar="SECONDS", help="How long nodes are waited for.")


@app.command()
def keep(
    runtime: Annotated[str, _RUNTIME],
    *,
    endpoint: Annotated[str, typer.Option(metavar="URL", help="The cache as the runtime reaches it; HOST_IP is this node's address.")],
    root: Annotated[Path, _ROOT] = Path("/"),
    registry: Annotated[list[str] | None, typer.Option(metavar="NAME", help="One registry; may be repeated. Without it, all.")] = None,
    ca: Annotated[Path | None, typer.Option(metavar="FILE", help="As for client-config; where there is no such file, none.")] = None,
    silence: Annotated[float, typer.Option(metavar="SECONDS", help="How long the cache may not answer.")] = 15.0,
    state: Annotated[Path | None, _STATE] = None,
) -> None:
    """Write the configuration once the cache answers, and withdraw it when it does not."""
    _end_at_once()
    try:
        url = agent.at_node(endpoint, os.environ.get(agent.HOST_ADDRESS))
    except ValueError as error:
        _fail(str(error), 2)
    agent.keep(agent.Node(runtime, root, typer.echo, registry or (), ca), url, silence, state)


@app.command()
def undo(
    runtime: Annotated[str, _RUNTIME], *, root: Annotated[Path, _ROOT] = Path("/"), state: Annotated[Path | None, _STATE] = None
) -> None:
    """Restore what was there before, then wait to be stopped."""
    _end_at_once()
    agent.undo(agent.Node(runtime, root, typer.echo), state)
    signal.pause()


@app.command("stop-writer")
def stop_writer(
    *,
    namespace: Annotated[str, _NAMESPACE],
    writer: Annotated[str, typer.Option(metavar="NAME", help="The DaemonSet that writes the configuration.")],
    timeout: Annotated[float, _TIMEOUT] = 150.0,
) -> None:
    """Delete the DaemonSet that writes the nodes' configuration, and wait until it is gone."""
    _end_at_once()
    if not _undoing(namespace).stop(writer, timeout, typer.echo):
        typer.echo(f"{writer} still runs on some node: its nodes are named if they are not undone")


@app.command("await-undo")
def await_undo(
    *,
    namespace: Annotated[str, _NAMESPACE],
    undo: Annotated[str, typer.Option(metavar="NAME", help="The DaemonSet that undoes it.")],
    timeout: Annotated[float, _TIMEOUT] = 150.0,
) -> None:
    """Wait until all nodes are undone; name those that are not, and exit with 1."""
    _end_at_once()
    try:
        missing = _undoing(namespace).missing(undo, "undo", timeout, typer.echo)
    except ClusterError as error:
        _fail(str(error), 1)
    if missing:
        _fail(f"not undone within {timeout:g} s: {', '.join(missing)}. Mend or remove these nodes, or uninstall with --no-hooks", 1)
    typer.echo("all nodes are as they were")


def _undoing(namespace: str) -> Undoing:
    try:
        return Undoing(Cluster.here(), namespace)
    except ClusterError as error:
        _fail(str(error), 2)


def _end_at_once() -> None:
    """The first process of a container ignores signals that it has no handler for."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))


def _fail(message: str, status: int) -> NoReturn:
    typer.echo(message, err=True)
    raise typer.Exit(status)
