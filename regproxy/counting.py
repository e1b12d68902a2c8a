"""Where the processes of one regproxy count together: a directory in memory, named by the environment.

In memory, because a metric is written at every request and a disk may hang.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"  # prometheus_client's name for it
NAME = "REGPROXY_METRICS_NAME"

_MEMORY = Path("/dev/shm")  # noqa: S108 -- the directory in it is made by mkdtemp


@contextmanager
def counting_together(root: Path, name: str) -> Iterator[None]:
    """Have this process count as *name*, and those that it starts find the directory; what an earlier one left for *root* is removed."""
    place = _MEMORY if os.access(_MEMORY, os.W_OK) else Path(tempfile.gettempdir())
    status = root.stat()
    prefix = f"regproxy-{status.st_dev:x}-{status.st_ino:x}-"
    for left in place.glob(f"{prefix}*"):
        if left.lstat().st_uid == os.getuid():
            shutil.rmtree(left, ignore_errors=True)
    directory = tempfile.mkdtemp(prefix=prefix, dir=place)
    os.environ.update({DIRECTORY: directory, NAME: name})
    try:
        yield
    finally:
        for each in (DIRECTORY, NAME):
            os.environ.pop(each, None)
        shutil.rmtree(directory, ignore_errors=True)
