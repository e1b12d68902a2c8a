"""`regproxy explain IMAGE`: what would happen to a pull, and why."""

import json
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from regproxy.cli.admin import Admin, asked
from regproxy.cli.configuration import ConfigFile, loaded
from regproxy.cli.terminal.examples import examples
from regproxy.telemetry.log import plain

app = typer.Typer()

_STYLES = {"good": "green", "note": "default", "bad": "red"}
_SIGNS = {"good": "ok  ", "note": "    ", "bad": "FAIL"}


@app.command(epilog=examples("regproxy explain nginx:1.27", "regproxy explain ghcr.io/org/app:2 --admin http://regproxy.example:5001"))
def explain(
    image: Annotated[str, typer.Argument(help="As for docker pull: docker.io/library/nginx:1.27")],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    config: ConfigFile = None,
    admin: Admin = None,
) -> None:
    """Walk a pull step by step without making it; name what fails, and what to do about it. Exit with 1 if it cannot be pulled."""
    found = asked(loaded(config), admin, "GET", "explain", image=image)
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        raise typer.Exit(_status(found))
    console = Console(soft_wrap=True, highlight=False)
    console.print(_text(found["image"], "bold"))
    width = max(len(step["about"]) for step in found["steps"])
    for step in found["steps"]:
        console.print(_text(f"{_SIGNS[step['mark']]} {step['about']:{width}}  {step['found']}", _STYLES[step["mark"]]))
        if step["advice"]:
            console.print(_text(f"{'':{width + 7}}-> {step['advice']}", "yellow"))
    console.print(_text(found["outcome"], "bold"))
    raise typer.Exit(_status(found))


def _status(found: dict[str, Any]) -> int:
    return 0 if found["can_be_pulled"] else 1


def _text(line: str, style: str) -> Text:
    """Paint a line; what an upstream said in it must not paint as well."""
    return Text(plain(line), style=style)
