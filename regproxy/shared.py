"""Memory that the processes of one store have in view, as files that lie on no disk.

A disk may hang, and with it everyone who touches a mapped page of a file on it. What is looked at with every request must not be there.
"""

import os
import shutil
import stat
import tempfile
from pathlib import Path

_MEMORY = Path("/dev/shm")  # noqa: S108 -- what is made in it is ours alone


def shared(root: Path) -> Path:
    """Give the directory for those who use the store at *root*, made if need be; raise `OSError`."""
    place = _place(root)
    place.mkdir(mode=0o700, exist_ok=True)
    found = place.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise PermissionError(f"{place} is not ours")
    return place


def forget(root: Path) -> None:
    """Remove what was shared, after the last who used it."""
    shutil.rmtree(_place(root), ignore_errors=True)


def _place(root: Path) -> Path:
    status = root.stat()
    memory = _MEMORY if os.access(_MEMORY, os.W_OK) else Path(tempfile.gettempdir())
    return memory / f"regproxy-{os.getuid()}-{status.st_dev:x}-{status.st_ino:x}"
