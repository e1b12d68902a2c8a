"""How answers look on a terminal."""

import json
import time
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from regproxy.config.units import size_shown

_UNITS = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def as_json(answer: dict[str, Any]) -> None:
    Console(soft_wrap=True, highlight=False).print(json.dumps(answer, indent=2), markup=False)


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[str] = ()) -> None:
    """Print rows under *columns*, those in *right* flush right."""
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        shown.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        shown.add_row(*row)
    Console(highlight=False).print(shown, markup=False)


def say(text: str) -> None:
    Console(highlight=False, soft_wrap=True).print(text, markup=False)


def size(count: int) -> str:
    return size_shown(count)


def ago(then: float) -> str:
    """Return how long ago something was, in its largest unit."""
    seconds = max(0.0, time.time() - then)
    count, unit = next(((seconds // each, unit) for each, unit in _UNITS if seconds >= each), (0, "s"))
    return f"{count:.0f} {unit} ago"


def name(image: dict[str, Any]) -> str:
    """Call an image by its names; by its digest only where it has none."""
    return ", ".join(image["names"]) or str(image["digest"])
