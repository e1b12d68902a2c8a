"""Directories that are ours: whoever can put another in the place of one chooses what we serve, and reads what is private."""

import os
import stat
from pathlib import Path

from regproxy.ports import StoreError

_ROOT_USER = 0  # may do what it likes anyway; volumes of Kubernetes belong to it


def make_own(path: Path) -> None:
    """Make a directory for ourselves alone, or make sure that the one there is ours; raise `StoreError`."""
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
    except FileExistsError:
        raise StoreError(f"{path} is not a directory") from None
    check_own(path)


def check_own(path: Path) -> None:
    """Raise `StoreError` unless it is a directory, no link to one, of ours."""
    found = path.lstat()
    if stat.S_ISLNK(found.st_mode):
        raise StoreError(f"{path} is a symbolic link: name the directory itself")
    if found.st_uid not in {os.geteuid(), _ROOT_USER}:
        raise StoreError(f"{path} belongs to user {found.st_uid}, who could put anything there")
