"""Who on this machine copies which content in, and what becomes of it.

    locks/<digest>@<upstream>  locked by the process that copies; each of its lines says more than the one before

There is one lock for each upstream that content may come from, because an upstream that is slow, or refuses, must not keep another's
content from being shared. The upstream's name is hashed: it may be longer than a file's name.

They lie in memory that all processes share, not with the content: no disk that hangs may keep one from being given back. The kernel
takes the lock back from a process that dies, so nobody waits for a dead one and nothing has to expire. A file tells of one holder only:
whoever comes after a dead one makes another, so that who watched the first cannot take the second for it. How far a copy is, its file
tells; only what that cannot tell is written here. Who watches it adds a line where a client waits for what is copied, and one for each
part that a client waits for.
"""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from regproxy.oci.digest import Digest
from regproxy.ports import StoreError
from regproxy.shm import shared

_LOOK = 16 * 1024  # bytes; a lock has a handful of lines, unless many parts are asked for
_MAX_SIZE = 64 * 1024  # bytes; some 1,600 parts


class IngestLock:
    """The right to be the only process here that copies some content in."""

    def __init__(self, path: Path, descriptor: int) -> None:
        """Own a locked file."""
        self._path = path
        self._descriptor = descriptor
        self._read = 0  # bytes
        self._is_wanted = False
        self._parts: list[tuple[int, int]] = []

    @property
    def is_wanted(self) -> bool:
        """Whether a watching process has asked for it."""
        self._look()
        return self._is_wanted

    def wanted_parts(self) -> list[tuple[int, int]]:
        """List the parts that watching processes have asked for since the last call."""
        self._look()
        parts, self._parts = self._parts, []
        return parts

    def _look(self) -> None:
        if os.fstat(self._descriptor).st_size == self._read:
            return
        lines, self._read = _lines(self._descriptor, self._read)
        self._is_wanted = self._is_wanted or any("is_wanted" in facts for facts in lines)
        self._parts += [(facts["part"][0], facts["part"][1]) for facts in lines if "part" in facts]

    def open_for(self, repository: str) -> None:
        """Write the first line, which also takes the page that all further lines fit in; the lock is given back where that fails."""
        try:
            self.note(repository=repository)
        except BaseException:
            self.release()
            raise

    def note(self, **facts: object) -> None:
        os.write(self._descriptor, json.dumps(facts).encode() + b"\n")

    def release(self) -> None:
        self._path.unlink(missing_ok=True)
        os.close(self._descriptor)


class Watched:
    """Another process's lock."""

    def __init__(self, descriptor: int) -> None:
        """Own the descriptor of its file."""
        self._descriptor = descriptor
        self._read = 0  # bytes
        self._facts: dict[str, Any] = {}

    def facts(self) -> dict[str, Any] | None:
        """Return all that was noted so far, which is nothing before the holder's first line; None once its holder is dead or done."""
        is_over = self._is_free()
        lines, self._read = _lines(self._descriptor, self._read)
        for line in lines:
            self._facts |= line
        return None if is_over and "end" not in self._facts else self._facts

    def want(self) -> None:
        """Notify its holder that a client waits for what it copies; raise `StoreError`."""
        with _failing():
            facts = self.facts()
            if facts and "is_wanted" not in facts:  # before its holder's first line it would be taken for a dead one's
                os.write(self._descriptor, b'{"is_wanted": true}\n')

    def want_part(self, start: int, stop: int) -> bool:
        """Notify its holder that a client waits for a part; False where there is no holder, or too much was said. Raise `StoreError`."""
        with _failing():
            if not self.facts() or os.fstat(self._descriptor).st_size > _MAX_SIZE:
                return False
            os.write(self._descriptor, b'{"part": [%d, %d]}\n' % (start, stop))
            return True

    def close(self) -> None:
        os.close(self._descriptor)

    def _is_free(self) -> bool:
        with suppress(BlockingIOError):
            fcntl.flock(self._descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
            return True
        return False


@dataclass(frozen=True, slots=True)
class LockName:
    """Which lock: that of *digest*, as it comes from *upstream*."""

    digest: Digest
    upstream: str

    def __str__(self) -> str:
        """Return the name of its file."""
        return f"{self.digest}@{hashlib.sha256(self.upstream.encode()).hexdigest()[:16]}"


class IngestLocks:
    """Those this process has, and a view of all others; every call may raise `StoreError`."""

    def __init__(self, place: Path | None = None) -> None:
        """Keep the locks in *place*; without one nothing is locked and nothing can be watched."""
        self._place = place
        self._ours: dict[LockName, IngestLock] = {}

    def take(self, name: LockName, repository: str) -> Watched | None:
        """Take the lock *name* for *repository*, or return a view of its holder."""
        while self._place is not None:
            with _failing():
                path = self._place / str(name)
                if (lock := _taken(path)) is not None:
                    lock.open_for(repository)
                    self._ours[name] = lock
                    return None
                if (other := _watched(path)) is not None:
                    return other
        return None

    def note(self, name: LockName, **facts: object) -> None:
        """Notify those who watch, if the lock is ours."""
        with _failing():
            if name in self._ours:
                self._ours[name].note(**facts)

    def is_wanted(self, name: LockName) -> bool:
        """Whether the lock is ours, and a watching process reported that a client waits; raise nothing."""
        with suppress(OSError):
            return name in self._ours and self._ours[name].is_wanted
        return False

    def wanted_parts(self, name: LockName) -> list[tuple[int, int]]:
        """List which parts watching processes have asked for since the last call, if the lock is ours; raise nothing."""
        with suppress(OSError):
            return self._ours[name].wanted_parts() if name in self._ours else []
        return []

    def release(self, name: LockName) -> None:
        """Release the lock, if it is ours."""
        with _failing():
            if name in self._ours:
                self._ours.pop(name).release()

    def all(self) -> set[Digest]:
        """List what is being copied in, by whichever process."""
        with _failing():
            return set() if self._place is None else {Digest.parse(path.name.partition("@")[0]) for path in self._place.iterdir()}


def place(root: Path) -> Path:
    """Return the directory for those who use the store at *root*, made if need be; raise `OSError`."""
    locks = shared(root) / "locks"
    locks.mkdir(mode=0o700, exist_ok=True)
    return locks


def reset(root: Path) -> None:
    """Remove what dead processes have left, before the first process of all takes a lock; raise `OSError`."""
    for lock in place(root).iterdir():
        lock.unlink()


def _taken(path: Path) -> IngestLock | None:
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        found = os.fstat(descriptor)
        if found.st_nlink and not found.st_size:
            return IngestLock(path, descriptor)
        if found.st_nlink:  # a dead one's
            path.unlink()
        os.close(descriptor)  # or released between our opening and our locking it


def _lines(descriptor: int, position: int) -> tuple[list[dict[str, Any]], int]:
    """Read some whole lines from *position* on, and up to where that is."""
    found = []
    for line in os.pread(descriptor, _LOOK, position).splitlines(keepends=True):
        if line.endswith(b"\n"):
            found.append(json.loads(line))
            position += len(line)
    return found, position


def _watched(path: Path) -> Watched | None:
    try:
        return Watched(os.open(path, os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC))
    except FileNotFoundError:
        return None


@contextmanager
def _failing() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(f"what processes share failed: {error}") from error
