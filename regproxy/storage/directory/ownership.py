"""Directories that are ours: who can put another in the place of one chooses what we serve and where we write, and reads all."""

import grp
import os
import pwd
import stat
from collections import deque
from pathlib import Path

from regproxy.ports import StoreError

UNFINISHED = "layout.new"  # the name of what will say that a directory is a store
_NOT_OURS = frozenset({"lost+found", "lock", UNFINISHED})  # what may lie in a directory that is to become a store
_ROOT_GROUP = 0
_ROOT_USER = 0  # may do what it likes anyway; volumes of Kubernetes belong to it
_WRITABLE = stat.S_IWGRP | stat.S_IWOTH
_MAX_LINKS = 40  # on the way to a directory; as many as Linux follows


def make_own(path: Path) -> None:
    """Make a directory for ourselves alone, or make sure that the one there is ours; raise `StoreError`."""
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
    except FileExistsError:
        raise StoreError(f"{path} is not a directory") from None
    check_own(path)


def make_root(path: Path) -> None:
    """Make the directory of a store, such that no other user can change or replace it; raise `StoreError` or `OSError`."""
    check_way(path)
    for missing in reversed([each for each in path.parents if not each.exists()]):
        missing.mkdir(mode=0o755)
    make_own(path)
    check_way(path)
    found = path.lstat()
    if found.st_mode & _WRITABLE and not _alone_here():
        who = "other users" if found.st_mode & stat.S_IWOTH else f"the group {found.st_gid}"
        raise StoreError(
            f"{who} can write to {path} (mode {stat.S_IMODE(found.st_mode):04o}), and so choose what is served: "
            f"see that all in it is yours, then chmod go-w {path}"
        )


def refuse_foreign(root: Path) -> None:
    """Raise `StoreError` where *root* holds foreign files and is no store."""
    if not (root / "layout").exists() and any(entry.name not in _NOT_OURS for entry in root.iterdir()):
        raise StoreError(f"{root} is not empty and not a store of regproxy: give it a directory of its own")


def check_own(path: Path) -> None:
    """Raise `StoreError` unless it is a directory, no link to one, of ours."""
    found = path.lstat()
    if stat.S_ISLNK(found.st_mode):
        raise StoreError(f"{path} is a symbolic link: name the directory itself")
    _check_owner(found, path)


def check_way(path: Path) -> None:
    """Raise `StoreError` where another user can change which directory *path* leads to, as far as it exists.

    As sshd does (StrictModes): each directory on the way is ours or root's, and others cannot write to it unless it is sticky. So are the
    links, which an administrator may have made (/home -> /var/home). Unlike sshd's, a directory may be written to by a group that nobody
    else is in: a home's own group, and that of a volume in Kubernetes (fsGroup: root:GROUP, mode 2775).
    """
    here, links, left = Path("/"), 0, deque(path.absolute().parts[1:])
    while left:
        found = here.lstat()
        _check_owner(found, here)
        _check_writers(found, here, path)
        part = left.popleft()
        there = here.parent if part == ".." else here / part
        try:
            status = there.lstat()
        except FileNotFoundError:
            return
        if not stat.S_ISLNK(status.st_mode):
            here = there
            continue
        _check_owner(status, there)
        links += 1
        target = there.readlink()
        if links > _MAX_LINKS:
            raise StoreError(f"too many symbolic links lead to {path}")
        here = Path("/") if target.is_absolute() else here
        left.extendleft(reversed(target.parts[1:] if target.is_absolute() else target.parts))


def check_contents(root: Path) -> None:
    """Raise `StoreError` where something in *root* is a link, or belongs to another user."""
    for each in root.iterdir():
        found = each.lstat()
        if stat.S_ISLNK(found.st_mode):
            raise StoreError(f"{each} is a symbolic link: a store has none")
        _check_owner(found, each)


def _check_owner(found: os.stat_result, path: Path) -> None:
    """Trust ourselves, root, and the owner of /: in a user namespace that is root by another number."""
    if found.st_uid not in {os.geteuid(), _ROOT_USER, Path("/").stat().st_uid}:
        raise StoreError(f"{path} belongs to user {found.st_uid}, who could put anything there")


def _check_writers(found: os.stat_result, here: Path, path: Path) -> None:
    """Raise `StoreError` where others can rename what is in *here*, a directory on the way to *path*."""
    if found.st_mode & stat.S_ISVTX or not found.st_mode & _WRITABLE or _alone_here():
        return
    mode = stat.S_IMODE(found.st_mode)
    if found.st_mode & stat.S_IWOTH:
        raise StoreError(f"other users can write to {here} (mode {mode:04o}) and so replace {path}: chmod o-w {here}")
    if others := _others_in(found.st_gid):
        who = f"the group {found.st_gid}, which {others[0]} is in,"
        raise StoreError(f"{who} can write to {here} (mode {mode:04o}) and so replace {path}: chmod g-w {here}")


def _others_in(group: int) -> list[str]:
    """Name the users other than us and root that are in *group*, as far as the system lists them; a directory service may list none."""
    if group == _ROOT_GROUP:
        return []
    users = pwd.getpwall()
    ours = {user.pw_name for user in users if user.pw_uid in {os.geteuid(), _ROOT_USER}}
    try:
        members = set(grp.getgrgid(group).gr_mem)
    except KeyError:
        members = set()
    return sorted((members | {user.pw_name for user in users if user.pw_gid == group}) - ours)


def _alone_here() -> bool:
    """Report whether we have this container to ourselves: its first process is us, or runs as our own user, which is not root.

    There a volume may be writable by everybody (Kubernetes' emptyDir, fsGroup), and its mode not be ours to change.
    """
    if os.getpid() == 1:
        return True
    try:
        return os.geteuid() != _ROOT_USER and Path("/proc/1").stat().st_uid == os.geteuid()
    except OSError:
        return False
