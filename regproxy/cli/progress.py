"""Long work on a terminal: how far, how fast, how much longer. On stderr, and only where somebody looks."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich import progress as bars
from rich.console import Console

from regproxy.pull.progress import Progress


@contextmanager
def shown() -> Iterator[Progress]:
    """Show what is told to the progress that is given."""
    columns = (bars.BarColumn(), bars.DownloadColumn(), bars.TransferSpeedColumn(), bars.TimeRemainingColumn())
    console = Console(stderr=True)
    with bars.Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as shown:
        task = shown.add_task("", total=None)
        yield Progress(lambda progress: shown.update(task, total=progress.total, completed=progress.done))
