"""Progress on a terminal: how far, how fast, how much longer. On stderr, and only where that is a terminal."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich import progress as bars
from rich.console import Console
from rich.text import Text

from regproxy.config.units import size_shown
from regproxy.maintenance.progress import JobProgress


class _Rate(bars.ProgressColumn):
    """Bytes per second, in the units of the settings."""

    def render(self, task: bars.Task) -> Text:
        return Text(f"{size_shown(int(task.speed or 0))}/s")


@contextmanager
def shown() -> Iterator[JobProgress]:
    """Show the progress that is reported to the yielded object."""
    columns = (bars.BarColumn(), bars.DownloadColumn(binary_units=True), _Rate(), bars.TimeRemainingColumn())
    console = Console(stderr=True)
    with bars.Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as shown:
        task = shown.add_task("", total=None)
        yield JobProgress(lambda progress: shown.update(task, total=progress.total, completed=progress.done))
