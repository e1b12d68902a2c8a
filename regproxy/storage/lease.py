"""Who on this machine copies which content in, and what becomes of it.

    ROOT/leases/<digest>  locked by the process that copies; each of its lines says more than the one before

The kernel takes the lock back from a process that dies, so nobody waits for a dead one and nothing has to expire. A file tells of one
holder only: whoever comes after a dead one makes another, so that who watched the first cannot take the second for it. How far a copy is,
its file tells by its size; only what a size cannot tell is written here.
"""

import contextlib
import fcntl
import json
import os
from pathlib import Path
from typing import Any

from regproxy.oci.digest import Digest

_ALL = 16 * 1024  # bytes; a lease has a handful of lines


class Lease:
    """The right to be the only process here that copies some content in."""

    def __init__(self, path: Path, descriptor: int) -> None:
        """Own a locked file; `taken` makes it."""
        self._path = path
        self._descriptor = descriptor

    def note(self, **facts: object) -> None:
        """Tell those who watch; raise `OSError`."""
        os.write(self._descriptor, json.dumps(facts).encode() + b"\n")

    def release(self) -> None:
        self._path.unlink(missing_ok=True)
        os.close(self._descriptor)


def taken(root: Path, digest: Digest, repository: str) -> Lease | None:
    """Take the lease of *digest* for *repository*; None where another process has it. Raise `OSError`."""
    path = path_of(root, digest)
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        found = os.fstat(descriptor)
        if found.st_nlink and not found.st_size:
            lease = Lease(path, descriptor)
            lease.note(repository=repository)  # also takes the block that all further lines fit in, however full the disk will be
            return lease
        if found.st_nlink:  # a dead one's
            path.unlink()
        os.close(descriptor)  # or released between our opening and our locking it


class Watched:
    """Another process's lease."""

    def __init__(self, descriptor: int) -> None:
        """Own the descriptor of its file; `watched` makes it."""
        self._descriptor = descriptor
        self._read = 0  # bytes
        self._facts: dict[str, Any] = {}

    def facts(self) -> dict[str, Any] | None:
        """Give all that was noted so far; None once its holder is dead or done."""
        is_over = self._is_free()
        for line in os.pread(self._descriptor, _ALL, self._read).splitlines(keepends=True):
            if line.endswith(b"\n"):
                self._facts |= json.loads(line)
                self._read += len(line)
        return None if is_over and "end" not in self._facts else self._facts

    def close(self) -> None:
        os.close(self._descriptor)

    def _is_free(self) -> bool:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(self._descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
            return True
        return False


def watched(root: Path, digest: Digest) -> Watched | None:
    """Look at whoever has the lease of *digest*; None where nobody has. Raise `OSError`."""
    try:
        return Watched(os.open(path_of(root, digest), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC))
    except FileNotFoundError:
        return None


def path_of(root: Path, digest: Digest) -> Path:
    return root / "leases" / str(digest)
