"""File systems of their own, with room for little; they take root, and are skipped without it."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def mount(*arguments: str | Path) -> None:
    """Mount, or skip the test where that is not allowed; fail instead where the environment demands every test."""
    done = subprocess.run(["mount", *map(str, arguments)], capture_output=True, text=True, check=False)
    if done.returncode:
        reason = f"no file system can be mounted here: {done.stderr.strip()}"
        (pytest.fail if os.environ.get("REGPROXY_REQUIRE_CLIENTS") == "1" else pytest.skip)(reason)


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
