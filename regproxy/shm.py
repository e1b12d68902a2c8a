"""Memory that the processes of one store have in view, as files that lie on no disk.

A disk may hang, and with it everyone who touches a mapped page of a file on it. What is looked at with every request must not be there.

Anybody may make something where it lies, so nobody can know its name beforehand: the first process chooses one, and those that it starts
find it in their environment. Whoever uses it holds a lock on it: what nobody holds is of the dead, and the next start removes it.
"""

import fcntl
import os
import re
import shutil
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

_MEMORY = Path("/dev/shm")  # noqa: S108 -- what is made in it is ours alone

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
