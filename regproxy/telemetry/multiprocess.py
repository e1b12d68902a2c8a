"""Where the processes of one regproxy count together: a directory in memory, named by the environment."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from regproxy.shm import shared

DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"  # prometheus_client's name for it
NAME = "REGPROXY_METRICS_NAME"


@contextmanager
def counting_together(root: Path, name: str) -> Iterator[None]:
    """Count metrics of this process as *name*, in a directory that its children inherit; an earlier one for *root* is removed."""
    directory = shared(root) / "metrics"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(mode=0o700)
    os.environ.update({DIRECTORY: str(directory), NAME: name})
    try:
        yield
    finally:
        for each in (DIRECTORY, NAME):
            os.environ.pop(each, None)
        shutil.rmtree(directory, ignore_errors=True)
