"""One process per store: two would each count its own room, and remove what the other reads."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from regproxy.ports import StoreError
from regproxy.shared import forget


@contextmanager
def claimed(root: Path, *, own_volume: bool = False) -> Iterator[None]:
    """Hold the store at *root*; raise `StoreError`, naming the holder, where another process does. The kernel frees it when we die.

    One that is to be on a volume of its own is nowhere else: what lies under a mount point is the system's disk, and not ours to fill.
    """
    if own_volume and _is_on_system_disk(root):
        raise StoreError(f"the store at {root} is on the file system of /: its volume is not mounted, and store.own_volume asks for one")
    try:
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreError(f"the store at {root} cannot be used: {error}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with contextlib.suppress(OSError):  # a full disk: it is the lock that counts
            os.truncate(descriptor, 0)
            os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        try:
            yield
        finally:
            forget(root)
    except BlockingIOError:
        holder = os.pread(descriptor, 20, 0).decode("ascii", "replace")
        raise StoreError(f"the store at {root} is in use by process {holder or 'unknown'}") from None
    finally:
        os.close(descriptor)


def _is_on_system_disk(root: Path) -> bool:
    there = next(path for path in (root, *root.parents) if path.exists())
    return there.stat().st_dev == Path("/").stat().st_dev
