"""The parts of blobs that are passed through: they take precedence over fills that no client waits for.

They come over the same line. Each worker counts its own.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from regproxy.notify import Notifier
from regproxy.policy.clients.precedence import LINGER, Precedence

_LOOK = 0.1  # seconds between two looks whether another process wants a fill, which sets no event of ours


class PassedParts:
    """How many parts of one upstream's blobs clients wait for now."""

    def __init__(self, limit: float) -> None:
        """Count none yet; a fill waits for *limit* seconds in a row at most."""
        self._precedence = Precedence(limit, limit, 0.0)
        self._count = 0
        self._ended_at = -LINGER
        self._news = Notifier()

    def begin(self) -> None:
        self._look()
        self._count += 1

    def end(self) -> None:
        self._look()
        self._count -= 1
        self._ended_at = asyncio.get_running_loop().time()
        self._news.tell()

    def wake(self) -> None:
        """Wake paused fills, so that they look whether a client waits for them."""
        self._news.tell()

    def holds(self, is_wanted: Callable[[], bool]) -> bool:
        """Whether a fill is to wait, unless it *is_wanted*."""
        return self._look() > 0 and not is_wanted()

    async def passed(self, is_wanted: Callable[[], bool]) -> None:
        """Wait as long as `holds` says."""
        while (seconds := self._look()) and not is_wanted():
            with suppress(TimeoutError):
                async with asyncio.timeout(min(seconds, _LOOK)):
                    await self._news.wait()

    def _look(self) -> float:
        now = asyncio.get_running_loop().time()
        lingers = max(self._ended_at + LINGER - now, 0.0)
        seconds = self._precedence.seconds(now, are_wanted=bool(self._count) or lingers > 0)
        return seconds if self._count else min(seconds, lingers)


class First(Protocol):
    """Those who go first."""

    def is_followed(self) -> bool:
        """Whether a client reads all of what lets others go first."""

    def holds(self) -> bool:
        """Whether there are some."""

    async def passed(self) -> None:
        """Wait until there are none, or for as long as is bearable."""


@dataclass(frozen=True, slots=True)
class PartsFirst:
    """The parts that take precedence over one fill, unless a client waits for it."""

    parts: PassedParts
    is_wanted: Callable[[], bool]
    is_followed: Callable[[], bool]

    def holds(self) -> bool:
        return self.parts.holds(self.is_wanted)

    async def passed(self) -> None:
        await self.parts.passed(self.is_wanted)


class Pauses:
    """The time in which a download lets others go first: what does not come meanwhile says nothing of upstream."""

    def __init__(self, first: First | None, paused: Callable[[float], None]) -> None:
        """Let those go *first*; *paused* is called with the seconds in which some piece waited, once none does."""
        self._first = first
        self._paused = paused
        self._waiting = 0  # pieces
        self._since = 0.0

    @property
    def are_on(self) -> bool:
        """Whether a piece waits now."""
        return self._waiting > 0

    def are_due(self) -> bool:
        return self._first is not None and self._first.holds()

    def may_come(self) -> bool:
        """Whether others may go first at any moment, because no client reads all of the download."""
        return self._first is not None and not self._first.is_followed()

    async def over(self) -> None:
        """Wait until the others have gone first."""
        if self._first is None:
            return
        if not self._waiting:
            self._since = asyncio.get_running_loop().time()
        self._waiting += 1
        try:
            await self._first.passed()
        finally:
            self._waiting -= 1
            if not self._waiting:
                self._paused(asyncio.get_running_loop().time() - self._since)
