"""The threads of a disk: all calls to it run there, so that one that hangs takes nothing else with it.

A call that hangs cannot be ended. It is left alone, and as long as one is out, the others are given little time: a disk that hangs would
cost every pull the timeout for each of its calls.
"""

import asyncio
import contextlib
import errno
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

from regproxy.ports import Full, StoreError

_THREADS = 16  # a bound on calls in progress, so that a slow disk cannot start a thread for each of them
_BRIEFLY = 0.2  # seconds for a call while another is overdue
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

Result = TypeVar("Result")


class Runner(Protocol):
    """Runs a call on a thread of the disk; `OSError` comes out as `StoreError`."""

    async def __call__(self, call: Callable[..., Result], *args: object, undo: Callable[[Any], object] | None = None) -> Result:
        """Wait for the call, for a while; what it gives later is given to *undo*."""


class DiskThreads:
    """The threads of the disk that *root* is on."""

    def __init__(self, root: Path, timeout: float) -> None:
        """Limit each call to *timeout* seconds."""
        self._root = root
        self._timeout = timeout
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="disk")
        self._overdue: set[Future[Any]] = set()

    @property
    def trouble(self) -> str | None:
        """Report calls that do not come back."""
        return f"the store at {self._root} does not answer, {len(self._overdue)} calls are overdue" if self._overdue else None

    async def __call__(self, call: Callable[..., Result], *args: object, undo: Callable[[Any], object] | None = None) -> Result:
        timeout = _BRIEFLY if self._overdue else self._timeout
        work = self._threads.submit(call, *args)
        try:
            async with asyncio.timeout(timeout):
                return await asyncio.wrap_future(work)
        except asyncio.CancelledError:
            _leave(work, undo)
            raise
        except TimeoutError as error:
            if _leave(work, undo):
                self._overdue.add(work)
                work.add_done_callback(self._overdue.discard)
            raise StoreError(f"the store at {self._root} did not answer within {timeout:g} s") from error
        except OSError as error:
            kind = Full if error.errno in _NO_ROOM else StoreError
            raise kind(f"the store at {self._root} failed: {error}") from error

    def close(self) -> None:
        """Wait for no call: it may never return."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _leave(work: Future[Result], undo: Callable[[Result], object] | None) -> bool:
    """Stop waiting for a call, and report whether it still runs: only one that has not begun can be cancelled."""
    if work.cancel():
        return False
    if undo is not None:
        work.add_done_callback(partial(_undone, undo))
    return True


def _undone(undo: Callable[[Result], object], work: Future[Result]) -> None:
    """Undo what came too late, on the thread that it came by."""
    if not work.cancelled() and work.exception() is None and (result := work.result()) is not None:
        with contextlib.suppress(OSError):
            undo(result)
