"""Hash a file."""

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from regproxy.oci.digest import Digest


@dataclass(frozen=True, slots=True)
class Hashed:
    """A file's digest and its size in bytes."""

    digest: Digest
    size: int


def hashed(path: Path, algorithm: str) -> Hashed | None:
    """Read a file to its end; None where it is no plain file. Raise `OSError`.

    The kernel is told to forget what was read: a scrub must not push out what clients ask for.
    """
    if not stat.S_ISREG(path.lstat().st_mode):
        return None
    with path.open("rb") as file:
        found = hashlib.file_digest(file, algorithm)
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        return Hashed(Digest(algorithm, found.hexdigest()), file.tell())
