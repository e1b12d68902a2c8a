"""Partial files that nobody writes: an outage or a crash left them to be resumed.

They are counted as content is, and are the first to go where space is short, the oldest before the others.
"""

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from regproxy.storage.partial_file import abandoned, remove_if_orphan, taken

LEFT_FOR = 86_400.0  # seconds that a partial file waits to be resumed
_MAX_FILES = 1000  # a host may cut as many blobs as clients ask for, each after its first byte


@dataclass(frozen=True, slots=True)
class AbandonedFile:
    """A partial file that nobody writes: its bytes on disk, and when it was written last, in epoch seconds."""

    path: Path
    size: int
    modified_at: float


@dataclass(frozen=True, slots=True)
class Trimmed:
    """How many bytes on disk went, and how many are left."""

    freed: int
    left: int


def trim(root: Path, excess: int = 0) -> Trimmed:
    """Remove the oldest until *excess* bytes are gone, and what is too old or too many; raise `OSError`."""
    files = sorted(_listed(root), key=lambda file: file.modified_at)
    surplus, too_old, freed = len(files) - _MAX_FILES, time.time() - LEFT_FOR, 0
    for number, file in enumerate(files):
        if not file.size or freed < excess or number < surplus or file.modified_at < too_old:
            freed += remove_if_orphan(file.path)
    return Trimmed(freed, sum(file.size for file in files) - freed)


def _listed(root: Path) -> Iterator[AbandonedFile]:
    with suppress(FileNotFoundError), os.scandir(root / "ingest") as entries:  # the volume may be gone
        for entry in entries:
            status = abandoned(path := Path(entry.path)) if entry.is_file(follow_symlinks=False) else None
            if status is not None:
                yield AbandonedFile(path, taken(status, path.name), status.st_mtime)
