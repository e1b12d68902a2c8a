"""The files of content that is here; every call goes to the disk, and raises `OSError`."""

import contextlib
import errno
import itertools
import logging
import os
import shutil
import stat
import time
from pathlib import Path
from typing import BinaryIO

from regproxy.oci.digest import Digest, is_encoded
from regproxy.oci.manifest import LIMIT
from regproxy.ports import StoredBlob
from regproxy.storage.opened import PUT_ASIDE
from regproxy.telemetry import metrics
from regproxy.telemetry.log import fields

_QUARANTINED = 8  # files put aside and kept; they count as nobody's room, so they are few
_QUARANTINED_BYTES = 1024**3  # of them, as far as they are files

_log = logging.getLogger(__name__)


class BlobFiles:
    """What lies under the names of digests, and what was put aside."""

    def __init__(self, root: Path) -> None:
        """Look below *root*."""
        self._root = root

    def opened(self, digest: Digest, size: int) -> BinaryIO | None:
        """Open without following links or waiting for pipes; what has another size than is on record is put aside."""
        file = self._plain(digest)
        if file is None or os.fstat(file.fileno()).st_size == size:
            return file
        file.close()
        self.put_aside(digest)
        return None

    def read(self, digest: Digest, size: int) -> bytes | None:
        """Read and verify small content. What is right stays, though it has another *size*: that may be a stranger's word."""
        file = self._plain(digest)
        if file is None:
            return None
        with file:
            length = os.fstat(file.fileno()).st_size
            if length != size and length > LIMIT:
                return None
            body = file.read(length)
        if Digest.of(body, digest.algorithm) == digest:
            return body if length == size else None
        self.put_aside(digest)
        return None

    def _plain(self, digest: Digest) -> BinaryIO | None:
        """Open a file; what is something else is put aside."""
        path = path_of(self._root, digest)
        try:
            file = open_plain(path)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno not in {errno.ELOOP, errno.EISDIR, errno.ENXIO}:
                raise
            self._put_aside(path)
            return None
        if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            return file
        file.close()
        self._put_aside(path)
        return None

    def put_aside(self, digest: Digest) -> None:
        """Quarantine content that does not match its digest."""
        self._put_aside(path_of(self._root, digest))

    def _put_aside(self, path: Path) -> None:
        """Move a file, or whatever it is, to quarantine, where the last few are kept for examination."""
        aside = self._root / "quarantine"
        with contextlib.suppress(FileNotFoundError):
            moved = path.rename(aside / f"{time.time_ns()}.{path.name[:12]}")
            metrics.CORRUPT.inc()
            if stat.S_ISREG(moved.lstat().st_mode):
                moved.chmod(PUT_ASIDE)
        newest = sorted(aside.iterdir(), reverse=True)
        bytes_up_to = itertools.accumulate(_size(each) for each in newest)
        for number, (each, size) in enumerate(zip(newest, bytes_up_to, strict=True)):
            if number >= _QUARANTINED or size > _QUARANTINED_BYTES:
                remove(each)

    def remove(self, digest: Digest) -> int:
        """Remove content, and return how many bytes it had."""
        path = path_of(self._root, digest)
        try:
            size = path.stat().st_size
            path.unlink()
        except FileNotFoundError:
            return 0
        return size

    def list_shard(self, shard: str) -> list[StoredBlob]:
        found: list[StoredBlob] = []
        for algorithm in ("sha256", "sha512"):
            with contextlib.suppress(FileNotFoundError):
                found += _listed(self._root / "blobs" / algorithm / shard, algorithm)
        return found


def path_of(root: Path, digest: Digest) -> Path:
    return root / "blobs" / digest.algorithm / digest.hex[:2] / digest.hex


def open_plain(path: Path) -> BinaryIO:
    """Open a file for reading, without following links or waiting for pipes; raise `OSError`."""
    return open(path, "rb", buffering=0, opener=_plain)


def _plain(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)


def origin_of(file: BinaryIO) -> object:
    """Distinguish a file from all others, by whatever name it was opened."""
    status = os.fstat(file.fileno())
    return status.st_dev, status.st_ino


def remove(path: Path) -> None:
    """Remove a file, or whatever it is."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _size(path: Path) -> int:
    with contextlib.suppress(FileNotFoundError):
        return path.lstat().st_size
    return 0


def _listed(shard: Path, algorithm: str) -> list[StoredBlob]:
    """List a directory by its descriptor: for each of its files the kernel looks up a name then, and not the whole path."""
    directory = os.open(shard, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with os.scandir(directory) as entries:
            return [blob for entry in entries if (blob := _described(shard, algorithm, entry)) is not None]
    finally:
        os.close(directory)


def _described(shard: Path, algorithm: str, entry: os.DirEntry[str]) -> StoredBlob | None:
    """Describe a file by its name; what has none of ours is left alone."""
    if is_encoded(algorithm, entry.name):
        with contextlib.suppress(FileNotFoundError):
            status = entry.stat(follow_symlinks=False)
            return StoredBlob(f"{algorithm}:{entry.name}", status.st_size, status.st_mtime)
    _log.warning("ignoring unrecognized file in store", extra=fields(path=str(shard / entry.name)[-200:]))
    return None
