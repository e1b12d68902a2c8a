"""The generation of an index: eight bytes that all processes of the machine have in view.

Reading them takes 100 ns and no system call. Each generation is a random number: nobody has to read before writing, so two who write at
once need no lock, and no number comes twice.
"""

import mmap
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from regproxy.ports import StoreError
from regproxy.shm import shared

_SIZE = 8


class Generation:
    """Tells every process when something that was true is true no longer."""

    def __init__(self, index: Path) -> None:
        """Share it with all who use the *index* of that file, and begin a generation; raise `StoreError`."""
        try:
            path = shared(index.parent) / f"{index.stem}.generation"
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreError(f"the index failed: {error}") from error
        try:
            self.advance()
            self._map = mmap.mmap(self._file, _SIZE, mmap.MAP_SHARED, mmap.PROT_READ)
        except BaseException:
            os.close(self._file)
            raise
        self._view = memoryview(self._map).cast("Q")

    def current(self) -> int:
        return self._view[0]

    def advance(self) -> None:
        """Begin another generation; raise `StoreError`."""
        try:
            os.pwrite(self._file, secrets.token_bytes(_SIZE), 0)
        except OSError as error:
            raise StoreError(f"the index failed: {error}") from error

    @contextmanager
    def ending(self) -> Iterator[None]:
        """Begin another generation after the block, even where it fails: a commit that was not waited for counts too."""
        try:
            yield
        finally:
            self.advance()

    def close(self) -> None:
        self._view.release()
        self._map.close()
        os.close(self._file)
