"""Files that are replaced at once or not at all; what goes wrong is said with its cause and what to do."""

import contextlib
import errno
import fcntl
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

_TEMPORARY = ".regproxy.tmp"
_FILE_MODE = 0o644
_MAX_FILE_BYTES = 4 * 1024 * 1024  # of a configuration, by far
_ADVICE = {
    errno.EROFS: "its file system is read-only here: run this where it can be written, or mount it so",
    errno.EACCES: "run this as root",
    errno.EPERM: "run this as root, and see whether the file is immutable (lsattr)",
    errno.ENOSPC: "the disk is full: make room and run this again",
    errno.EDQUOT: "the quota is used up: make room and run this again",
    errno.ENOTDIR: "something on its path is a file where a directory belongs",
    errno.EISDIR: "a directory stands where the file belongs",
}


class CannotApply(Exception):
    """A file could not be read or written, or may not be. The message names it, and says what to do."""


def replace(place: Path, content: bytes, like: Path | None, before_rename: Callable[[Path], None] = lambda _place: None) -> None:
    """Put *content* at *place* at once or not at all, with the mode and the owner of *like*."""
    temporary = place.with_name(f".{place.name}{_TEMPORARY}")

    def write() -> None:
        temporary.unlink(missing_ok=True)  # of somebody who was killed
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(descriptor, "wb") as file:  # noqa: PTH123  a descriptor
            file.write(content)
            found = like.stat() if like is not None else None
            if found is not None and (found.st_uid, found.st_gid) != (os.geteuid(), os.getegid()):
                os.fchown(descriptor, found.st_uid, found.st_gid)
            os.fchmod(descriptor, _FILE_MODE if found is None else stat.S_IMODE(found.st_mode))
            file.flush()
            os.fsync(descriptor)

    try:
        tried("write", place, write)
        before_rename(place)
        tried("write", place, lambda: temporary.replace(place))
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    sync(place.parent)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lock a directory against other writers of runtime configuration."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise _cannot("open", folder, error) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def sync(folder: Path) -> None:
    with contextlib.suppress(OSError):  # some network file systems cannot
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _open_at_once(path: str, flags: int) -> int:
    """Open a file; of a pipe, wait for no writer."""
    return os.open(path, flags | os.O_NONBLOCK)


def read(place: Path) -> bytes | None:
    try:
        with open(place, "rb", opener=_open_at_once) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise CannotApply(f"{place} is no regular file: put the configuration there, or remove it")
            content = file.read(_MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _cannot("read", place, error) from error
    if len(content) > _MAX_FILE_BYTES:
        raise CannotApply(f"{place} is larger than 4 MiB: that is no configuration of a runtime")
    return content


def tried(act: str, place: Path, do: Callable[[], Any]) -> Any:  # noqa: ANN401  what it gives
    try:
        return do()
    except OSError as error:
        raise _cannot(act, place, error) from error


def _cannot(act: str, place: Path, error: OSError) -> CannotApply:
    advice = _ADVICE.get(error.errno or 0)
    return CannotApply(f"cannot {act} {place}: {error.strerror or error}{f' ({advice})' if advice else ''}")


def text(path: str, content: bytes) -> str:
    """Return the text of a file; raise `CannotApply` where it is none."""
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise CannotApply(f"/{path} is not UTF-8 text, and the runtime cannot read it: mend it first") from None
