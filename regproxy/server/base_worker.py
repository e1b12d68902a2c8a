"""A worker as its pool sees it, whichever process it runs in."""

import asyncio
import time
from abc import ABC, abstractmethod
from typing import Protocol

from regproxy.config import Settings
from regproxy.policy.fleet.traffic import Traffic
from regproxy.server.sockets import Listeners
from regproxy.server.status import WorkerStatus

BEAT = 1.0  # seconds between two reports of a worker
_AFTER_DRAIN = 5.0  # seconds beside those that responses and fills are given


class Worker(ABC):
    """One worker, from its birth to its end."""

    ended: asyncio.Task[int]
    """Gives its exit status."""

    def __init__(self, name: str, pid: int, traffic: Traffic) -> None:
        """Be known as *name*; *traffic* counts what it reports."""
        self.name = name
        self.pid = pid
        self.report: WorkerStatus | None = None
        self.is_silent = False
        self.born_at = time.monotonic()
        self._traffic = traffic
        self._accepting = asyncio.Event()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}, process {self.pid}>"

    @property
    def is_accepting(self) -> bool:
        return self._accepting.is_set() and not self.ended.done()

    async def accepts(self, within: float) -> bool:
        """Wait until it accepts clients, and report whether it came to that."""
        accepting = asyncio.create_task(self._accepting.wait())
        await asyncio.wait({accepting, self.ended}, timeout=within, return_when=asyncio.FIRST_COMPLETED)
        accepting.cancel()
        return self.is_accepting

    async def drain(self, grace: float) -> None:
        """Let the worker finish within *grace* seconds for responses and as much again for fills, then kill it."""
        self.leave()
        await asyncio.wait({self.ended}, timeout=2 * grace + _AFTER_DRAIN)
        self.kill()
        await asyncio.wait({self.ended})

    @abstractmethod
    def beat(self) -> None:
        """Count a beat of ours, and end a worker that has missed too many."""

    @abstractmethod
    def leave(self) -> None:
        """Have it accept nobody any more, and end once all that is in progress has ended."""

    @abstractmethod
    def kill(self) -> None: ...

    def _hear(self, status: WorkerStatus) -> None:
        self.report = status
        self._traffic.add(status.moved)
        if status.is_accepting:
            self._accepting.set()


class Start(Protocol):
    """Starts a worker."""

    def __call__(self, name: str, settings: Settings, listeners: Listeners, traffic: Traffic) -> Worker:
        """Start one as *name* with *settings* at *listeners*, which it leaves open; *traffic* counts. Raise `OSError`."""
