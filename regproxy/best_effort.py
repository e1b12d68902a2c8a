"""Keeping what was served and finding what was kept: the disk's troubles are not the client's."""

import asyncio
import logging
from collections.abc import Awaitable, Coroutine
from typing import TypeVar

from regproxy import large
from regproxy.flights import drain
from regproxy.ports import StoreError
from regproxy.telemetry.log import fields

_SOON = 1.0  # seconds that an answer waits for what is kept of it: a disk that is well takes a hundredth of that

Result = TypeVar("Result")

_log = logging.getLogger(__name__)


async def kept(work: Awaitable[None], what: object) -> bool:
    """Keep something if the disk lets us, and report whether it did."""
    try:
        await work
    except StoreError as error:
        _log.info("could not be kept", extra=fields(what=str(what), reason=str(error)))
        return False
    return True


async def found(work: Awaitable[Result | None], what: object) -> Result | None:
    """Look something up if the disk lets us; what cannot be looked up is not there."""
    try:
        return await work
    except StoreError as error:
        _log.warning("could not be looked up", extra=fields(what=str(what), reason=str(error)))
        return None


class Behind:
    """Run work on a disk before the response where the disk is quick, and in the background where it is slow."""

    def __init__(self) -> None:
        """Start without work."""
        self._tasks: set[asyncio.Task[None]] = set()

    async def do(self, work: Coroutine[None, None, None]) -> None:
        """Run the work and wait for it briefly; the document that the caller holds stays allocated until the work is done."""
        task = asyncio.create_task(work)
        if (allocated := large.current()) is not None:
            allocated.share()
            task.add_done_callback(allocated.release)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        await asyncio.wait({task}, timeout=_SOON)
        if task.done():
            task.result()

    async def drain(self, grace: float) -> None:
        """Wait up to *grace* seconds for all work, then cancel the rest."""
        await drain(self._tasks, grace)
