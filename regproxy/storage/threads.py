"""The threads of a disk: all calls to it run there, so that one that hangs takes nothing else with it."""

import asyncio
import errno
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol, TypeVar

from regproxy.ports import Full, StoreError

_THREADS = 16  # a bound on calls in progress, so that a slow disk cannot start a thread for each of them
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

Result = TypeVar("Result")


class Runner(Protocol):
    """Runs a call on a thread of the disk; `OSError` comes out as `StoreError`."""

    async def __call__(self, call: Callable[..., Result], *args: object) -> Result: ...


class DiskThreads:
    """The threads of the disk that *root* is on."""

    def __init__(self, root: Path, patience: float) -> None:
        """Give a call *patience* seconds."""
        self._root = root
        self._patience = patience
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="disk")

    async def __call__(self, call: Callable[..., Result], *args: object) -> Result:
        try:
            async with asyncio.timeout(self._patience):
                return await asyncio.get_running_loop().run_in_executor(self._threads, call, *args)
        except TimeoutError as error:
            raise StoreError(f"the store at {self._root} did not answer within {self._patience:g} s") from error
        except OSError as error:
            kind = Full if error.errno in _NO_ROOM else StoreError
            raise kind(f"the store at {self._root} failed: {error}") from error

    def close(self) -> None:
        """Wait for no call: it may never return."""
        self._threads.shutdown(wait=False, cancel_futures=True)
