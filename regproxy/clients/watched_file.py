"""A file that is read again when it changes."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from regproxy import files
from regproxy.telemetry.log import fields

_READ_TIMEOUT = 2.0  # seconds; what a file system that hangs holds back leaves what was known

Found = TypeVar("Found")

_log = logging.getLogger(__name__)


class WatchedFile(Generic[Found]):
    """What a file says. One that is gone or cannot be understood leaves what was known."""

    def __init__(self, path: Path, parse: Callable[[bytes], Found], nothing: Found) -> None:
        """Read nothing yet: until then it says *nothing*. *parse* raises `ValueError`, and its message shows no secret."""
        self._path = path
        self._parse = parse
        self._version: files.FileVersion | None = None
        self._complaint: str | None = None
        self.content = nothing

    async def refresh(self) -> bool:
        """Read the file if it is another one than before, and report whether it was."""
        try:
            async with asyncio.timeout(_READ_TIMEOUT):
                version = await files.version(self._path)
                if version == self._version:
                    return False
                text = await files.read_bytes(self._path)
            self._version = version
            self.content = await files.call(self._parse, text)
        except TimeoutError:
            self._complain(f"the file system did not answer within {_READ_TIMEOUT:g} s")
            return False
        except (OSError, ValueError) as error:
            self._complain(error.strerror or type(error).__name__ if isinstance(error, OSError) else str(error))
            return False
        self._complaint = None
        return True

    def _complain(self, reason: str) -> None:
        """Log once, not at every look."""
        if reason != self._complaint:
            self._complaint = reason
            _log.error("clients cannot be read: the last ones stay", extra=fields(path=str(self._path), reason=reason))
