"""Files beside the path of a hit and of a fill, by aiofiles, on threads of their own.

Neither the loop, nor the default threads where DNS lookups run, nor those of the store wait for a mount that hangs.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ParamSpec, TypeAlias, TypeVar

import aiofiles
import aiofiles.os

_THREADS = 16  # a bound on the files that are read at once; each that hangs keeps one
_threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="files")

FileVersion: TypeAlias = tuple[int, int, int]

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


async def read_bytes(path: Path) -> bytes:
    """Read a whole file; raise `OSError`."""
    async with aiofiles.open(path, "rb", executor=_threads) as file:
        return await file.read()


async def version(path: Path) -> FileVersion:
    """Return what differs where the file at *path* is another one, or was written since; raise `OSError`."""
    found = await aiofiles.os.stat(path, executor=_threads)
    return found.st_ino, found.st_mtime_ns, found.st_size


async def read_at(descriptor: int, length: int, offset: int) -> bytes:
    """Read up to *length* bytes from *offset* on, and leave the position of the *descriptor* alone; raise `OSError`."""
    return await call(os.pread, descriptor, length, offset)


async def call(blocking: Callable[Parameters, Result], *args: Parameters.args, **named: Parameters.kwargs) -> Result:
    """Return what *blocking* returns; it reads a file, and parses what it reads."""
    return await aiofiles.os.wrap(blocking)(*args, executor=_threads, **named)
