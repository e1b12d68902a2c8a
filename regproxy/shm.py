"""Memory that the processes of one store have in view, as files that lie on no disk.

A disk may hang, and with it everyone who touches a mapped page of a file on it. What is looked at with every request must not be there.

Anybody may make something where it lies, so nobody can know its name beforehand: the first process chooses one, and those that it starts
find it in their environment. Whoever uses it holds a lock on it: what nobody holds is of the dead, and the next start removes it.
"""

import errno
import fcntl
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_MEMORY = Path("/dev/shm")  # noqa: S108 -- what is made in it is ours alone

_TRIES = 200  # of a few microseconds each

_held: dict[str, int] = {}  # the directories that this process uses, and the descriptors that are locked


def shared(root: Path) -> Path:
    """Return the directory for those who use the store at *root*, made if need be; raise `OSError`."""
    variable = _variable(root)
    if (path := os.environ.get(variable)) is None:
        path = os.environ[variable] = _made()
    elif path not in _held:
        _hold(path)
    _check(Path(path).lstat(), path)
    return Path(path)


def begin(root: Path) -> None:
    """Make the next `shared` create a directory of its own, and remove those of processes that are gone."""
    os.environ.pop(_variable(root), None)
    memory = _memory()
    with suppress(OSError):
        for entry in memory.iterdir():
            if re.fullmatch(rf"regproxy-{os.geteuid()}-[a-z0-9_]{{8}}", entry.name):
                _remove_if_left(entry)


def forget(root: Path) -> None:
    """Remove what was shared, after the last who used it."""
    if (path := os.environ.pop(_variable(root), None)) is not None:
        shutil.rmtree(path, ignore_errors=True)
        if (descriptor := _held.pop(path, None)) is not None:
            os.close(descriptor)


def free_row(rows: Path, most: int) -> tuple[int, int]:
    """Take one of *most* numbers that no other living process has, and the descriptor that holds it; raise `OSError`."""
    rows.mkdir(exist_ok=True, mode=0o700)
    for row in range(most):
        lock = os.open(rows / str(row), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        if try_lock(lock):
            return row, lock
        os.close(lock)
    raise OSError(errno.EUSERS, "too many processes", str(rows))


@contextmanager
def left_row(rows: Path, row: int) -> Iterator[bool]:
    """Report whether the process that had a row is gone; nobody takes the row meanwhile. Raise `OSError` where nobody ever had it."""
    lock = os.open(rows / str(row), os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        yield try_lock(lock)
    finally:
        os.close(lock)


def try_lock(descriptor: int) -> bool:
    with suppress(BlockingIOError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False


@contextmanager
def locked(descriptor: int | None) -> Iterator[None]:
    """Keep other processes from changing what we are about to; who holds the lock and is stopped does not stop us."""
    has_it = descriptor is not None and any(try_lock(descriptor) for _ in range(_TRIES))
    try:
        yield
    finally:
        if has_it and descriptor is not None:
            fcntl.flock(descriptor, fcntl.LOCK_UN)


class Flag:
    """A yes or no that the processes of a store have in common: no, at first, and where it cannot be kept."""

    def __init__(self, root: Path, name: str) -> None:
        """Share the flag *name* with all who use the store at *root*; raise `OSError`."""
        self._path = shared(root) / name

    def __bool__(self) -> bool:
        return self._path.exists()

    def set(self) -> None:
        with suppress(OSError):
            self._path.touch(mode=0o600)

    def clear(self) -> None:
        with suppress(OSError):
            self._path.unlink()


def _variable(root: Path) -> str:
    status = root.stat()
    return f"_REGPROXY_SHARED_{status.st_dev:x}_{status.st_ino:x}"


def _memory() -> Path:
    return _MEMORY if os.access(_MEMORY, os.W_OK) else Path(tempfile.gettempdir())


def _made() -> str:
    while True:
        path = tempfile.mkdtemp(prefix=f"regproxy-{os.geteuid()}-", dir=_memory())
        with suppress(FileNotFoundError, BlockingIOError):  # another start took it for one of the dead, as nobody held it yet
            _hold(path)
            return path


def _hold(path: str) -> None:
    """Lock the directory as in use; raise `OSError` where it is gone or not ours."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        _check(os.fstat(descriptor), path)
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        Path(path).lstat()  # nobody removed it before it was locked
    except BaseException:
        os.close(descriptor)
        raise
    _held[path] = descriptor


def _remove_if_left(path: Path) -> None:
    """Remove a directory that is ours and that no living process uses."""
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            _check(os.fstat(descriptor), str(path))
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path, ignore_errors=True)
        finally:
            os.close(descriptor)


def _check(found: os.stat_result, path: str) -> None:
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise PermissionError(f"{path} is not ours alone")
