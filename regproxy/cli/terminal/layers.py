"""How far the layers of a warm-up are, on a terminal. On stderr, and only where that is a terminal."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich import progress as bars
from rich.console import Console

from regproxy.telemetry.log import plain


@contextmanager
def shown() -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """Show the job, as the admin API describes it, that the yielded function is called with."""
    console = Console(stderr=True)
    columns = (bars.TextColumn("{task.description}", markup=False), bars.BarColumn(), bars.DownloadColumn(binary_units=True))
    with bars.Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        tasks: dict[tuple[str, str], bars.TaskID] = {}

        def tell(job: Mapping[str, Any]) -> None:
            coming = {(image["name"], layer["digest"]): layer for image in job["images"] for layer in image.get("layers", ())}
            for key, layer in coming.items():
                if key not in tasks:
                    tasks[key] = progress.add_task(f"{plain(key[0])[-40:]} {key[1][7:19]}", total=None)
                progress.update(tasks[key], total=layer["size"], completed=layer["written"])
            for key in [key for key in tasks if key not in coming]:
                progress.remove_task(tasks.pop(key))

        yield tell
