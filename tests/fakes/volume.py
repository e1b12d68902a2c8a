"""Disks with room for little: file systems of their own, which take root, and are skipped without it, and a limit on files."""

import os
import resource
import shutil
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from regproxy.policy.store.quota import on_disk


def mount(*arguments: str | Path) -> None:
    """Mount, or skip the test where that is not allowed; fail instead where the environment demands every test."""
    done = subprocess.run(["mount", *map(str, arguments)], capture_output=True, text=True, check=False)
    if done.returncode:
        reason = f"no file system can be mounted here: {done.stderr.strip()}"
        (pytest.fail if os.environ.get("REGPROXY_REQUIRE_CLIENTS") == "1" else pytest.skip)(reason)


def taken(root: Path) -> int:
    """Return the bytes that content takes in the store at *root*, finished or not, while somebody may add and remove some."""
    return sum(_blocks(path) for part in ("blobs", "ingest") for path in (root / part).rglob("*"))


def content_used(volume: Path) -> int:
    """Return what `taken` does of a store that has a *volume* of its own, at one moment: what moves on is not counted twice."""
    used = shutil.disk_usage(volume).used
    return used - sum(_blocks(path) for path in volume.iterdir())


def _blocks(path: Path) -> int:
    """Return the bytes a file takes, holes left out; none where it is no file, or is gone by now.

    ext4 adds a block to a file that lies in many pieces, which nobody can know beforehand.
    """
    try:
        found = path.stat()
    except FileNotFoundError:
        return 0
    return min(found.st_blocks * 512, on_disk(found.st_size)) if stat.S_ISREG(found.st_mode) else 0


@contextmanager
def tmpfs(place: Path, options: str) -> Iterator[Path]:
    """Mount a file system in memory: `size=8m`, `nr_inodes=64`."""
    place.mkdir(parents=True, exist_ok=True)
    mount("-t", "tmpfs", "-o", f"mode=0700,{options}", "tmpfs", place)
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


@contextmanager
def ext4(image: Path, place: Path) -> Iterator[Path]:
    """Mount a file system that lies in the file *image*, making one of 64 MiB where there is none."""
    place.mkdir(parents=True, exist_ok=True)
    if not image.exists():
        with image.open("wb") as file:
            file.truncate(64 * 1024 * 1024)
        subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True)
    mount("-t", "ext4", "-o", "loop", image, place)
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


@contextmanager
def frozen(place: Path) -> Iterator[None]:
    """Have the disk at *place* hang: who writes to it waits, and cannot even be killed, until this is over (fsfreeze(8))."""
    subprocess.run(["fsfreeze", "--freeze", place], check=True)
    try:
        yield
    finally:
        subprocess.run(["fsfreeze", "--unfreeze", place], check=True)


@contextmanager
def file_limit(size: int) -> Iterator[None]:
    """Let no file of this process become larger than *size* bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
