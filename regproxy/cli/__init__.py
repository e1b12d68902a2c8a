"""The commands: thin shells over the same code that serves."""

import gc
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_group

from regproxy import __version__

if TYPE_CHECKING:  # it has another name in other versions of typer
    from typer._click import Command, Context

_MODULES = {
    "serve": "serve",
    "check": "check",
    "admission": "admission",
    "explain": "explain",
    "freeze": "freeze",
    "unfreeze": "freeze",
    "history": "freeze",
    "rollback": "freeze",
    "client-config": "client_config",
    "doctor": "doctor",
    "warm": "warm",
    "refresh": "warm",
    "store": "store",
    "node-config": "node_config",
}


class _Commands(Mapping[str, "Command"]):
    """The commands by name: each is imported when it is looked up, so that none waits for what others need."""

    def __getitem__(self, name: str) -> "Command":
        app: typer.Typer = import_module(f"regproxy.cli.{_MODULES[name]}").app
        group = get_group(app)
        return group if group.name == name else group.commands[name]

    def __iter__(self) -> Iterator[str]:
        return iter(_MODULES)

    def __len__(self) -> int:
        return len(_MODULES)


class _Group(TyperGroup):
    """What `regproxy` offers."""

    def __init__(self, **attributes: Any) -> None:  # noqa: ANN401  typer's
        super().__init__(**{**attributes, "commands": _Commands()})

    def list_commands(self, ctx: "Context") -> list[str]:  # noqa: ARG002  typer calls it so
        return list(_MODULES)


_HELP = {"help_option_names": ["-h", "--help"]}

# Typer's decorated tracebacks print local variables, and with them secrets.
app = typer.Typer(name="regproxy", cls=_Group, no_args_is_help=True, pretty_exceptions_enable=False, context_settings=_HELP)


def _print_version(wanted: bool) -> None:  # noqa: FBT001  typer calls it so
    if wanted:
        typer.echo(f"regproxy {__version__}")
        raise typer.Exit


@app.callback()
def regproxy(
    context: typer.Context,
    *,
    _version: Annotated[bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    """Keep a copy of what container registries serve, and serve it."""
    if context.invoked_subcommand != "serve":  # which has most of its imports before it
        gc.freeze()
        gc.enable()
