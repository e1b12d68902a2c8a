"""One process per store: two would each count its own room, and remove what the other reads."""

import contextlib
import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from regproxy.ports import StoreError
from regproxy.shm import begin, forget
from regproxy.storage.directory.ownership import check_contents, make_root, refuse_foreign


@contextmanager
def claimed(root: Path, *, require_mount: bool = False) -> Iterator[int]:
    """Lock the store at *root*; raise `StoreError`, naming the holder, where another process has it. The kernel unlocks it when we die.

    The descriptor that is locked is what a child process closes: it would hold the store beyond our death.

    One that is to be on a volume of its own is nowhere else: what lies under a mount point is the system's disk, and not ours to fill.
    Nothing is written before it is certain that the directory is ours.
    """
    if require_mount and _is_on_system_disk(root):
        raise StoreError(f"the store at {root} is on the file system of /: its volume is not mounted, and store.require_mount asks for one")
    try:
        make_root(root)
        refuse_foreign(root)
        check_contents(root)
        descriptor = _lock_file(root)
    except OSError as error:
        raise StoreError(f"the store at {root} cannot be used: {error}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with contextlib.suppress(OSError):  # a full disk: it is the lock that counts
            os.truncate(descriptor, 0)
            os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        begin(root)
        try:
            yield descriptor
        finally:
            forget(root)
    except BlockingIOError:
        holder = os.pread(descriptor, 20, 0).decode("ascii", "replace")
        raise StoreError(
            f"the store at {root} is in use by process {holder or 'unknown'}: stop it, or give each its own store.root"
        ) from None
    finally:
        os.close(descriptor)


def _lock_file(root: Path) -> int:
    """Open the file that is locked, which is written to: never what a link leads to, or another name of something else."""
    folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        descriptor = os.open("lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600, dir_fd=folder)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise StoreError(f"{root / 'lock'} is a symbolic link: a store has none") from error
        raise
    finally:
        os.close(folder)
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
        os.close(descriptor)
        raise StoreError(f"{root / 'lock'} is not a file of its own")
    return descriptor


def _is_on_system_disk(root: Path) -> bool:
    there = next(path for path in (root, *root.parents) if path.exists())
    return there.stat().st_dev == Path("/").stat().st_dev
