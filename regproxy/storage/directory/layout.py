"""A store's directory: whether it is one, and how it was left."""

import logging
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from regproxy.ports import StoreError
from regproxy.storage.blob_files import remove
from regproxy.storage.directory.ownership import UNFINISHED, check_own, make_own, refuse_foreign
from regproxy.storage.partial_file import sync_directory
from regproxy.telemetry.log import fields

_LAYOUT = "regproxy store, layout 1\n"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Prepared:
    """When a store began to be used, and when it was last seen in use if that did not end in order; epoch seconds of its file system."""

    opened_at: float
    interrupted_at: float | None


def prepare(root: Path) -> Prepared:
    """Make or recognise the store and clear away what a crash left; raise `StoreError` where it is not ours, or `OSError`."""
    make_own(root)
    layout = root / "layout"
    if layout.exists():
        if (found := layout.read_text()) != _LAYOUT:
            raise StoreError(f"{root} holds {found.strip()[:60]!r}, this version reads {_LAYOUT.strip()!r}: give it another root")
    else:
        _begin(root, layout)
    for name in ("blobs", "ingest", "quarantine", "blobs/sha256", "blobs/sha512"):
        make_own(root / name)
    for shard in (root / "blobs").glob("*/*"):
        check_own(shard)
    layout.touch()
    running = root / "running"
    interrupted_at = running.stat().st_mtime if running.exists() else None
    if interrupted_at is None:
        running.touch(mode=0o600)
    for orphan in (root / "ingest").iterdir():
        _clear(orphan)
    return Prepared(layout.stat().st_mtime, interrupted_at)


def check(root: Path) -> None:
    """Read for real; raise `StoreError` or `OSError`."""
    if (root / "layout").read_text() != _LAYOUT:
        raise StoreError(f"{root} is no longer the store it was")


def _begin(root: Path, layout: Path) -> None:
    """Write what the layout is, whole or not at all, and before all else: a power cut leaves nothing of ours in a store that is none."""
    refuse_foreign(root)
    unfinished = root / UNFINISHED
    unfinished.unlink(missing_ok=True)
    with unfinished.open("x") as file:
        file.write(_LAYOUT)
        file.flush()
        os.fsync(file.fileno())
    unfinished.chmod(0o600)
    unfinished.rename(layout)
    sync_directory(root)
    _log.info("created new store", extra=fields(root=str(root), hint="if there was a store here, its volume is not mounted"))


def _clear(path: Path) -> None:
    """Remove what is no partial file; of those, `abandoned.trim` removes what is too old to be resumed."""
    if not path.is_file() or path.is_symlink():
        remove(path)


def renew(path: Path) -> None:
    """Set the time of a file that is there; where the volume is gone, nothing is made beside it."""
    with suppress(FileNotFoundError):
        os.utime(path)
