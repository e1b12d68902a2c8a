"""What upstreams may send a second, each and all together: counted by all processes that serve from one store.

Bytes are charged when they have come, and whoever charged them reads on once they are paid for: the kernel's window slows the sender. A
blob owes a single part at a time, however many connections bring it, so that blobs share the line evenly. What is small waits for nobody:
the beginning of a blob, manifests and lists are charged, and the large ones pay for them.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable, Iterator, Sequence
from typing import Protocol
from weakref import WeakValueDictionary

from regproxy.policy.clients.token_bucket import Rate
from regproxy.policy.clock import MonotonicClock, WallClock
from regproxy.policy.upstream.bandwidth import LineRate, part_size
from regproxy.telemetry import metrics

_FREE_BYTES = 64 * 1024  # of a blob, which wait for nobody: a config, a signature, the head of a layer
_IN_ALL = "\0line"  # no client has such a name
_OF_ONE = "\0line of "


class Accounts(Protocol):
    """What was used of something, by all processes."""

    def owe(self, client: str, rate: Rate, size: int, now: float) -> float:
        """Charge *size* to an account, and return in how many seconds that is paid for."""


class Line:
    """The way to one upstream."""

    def __init__(self, limits: Sequence[tuple[str, LineRate]], upstream: str, bandwidth: "Bandwidth") -> None:
        self._limits = limits
        self._upstream = upstream
        self._bandwidth = bandwidth
        self._turns: WeakValueDictionary[Hashable, asyncio.Lock] = WeakValueDictionary()

    def charge(self, size: int) -> float:
        """Charge what has come, and return in how many seconds it is paid for."""
        return max((self._bandwidth.owe(account, rate, size) for account, rate in self._counting()), default=0.0)

    def parts(self, chunk: bytes) -> Iterator[bytes]:
        """Cut what has come into what is charged at once."""
        size = min((part_size(rate) for _, rate in self._counting()), default=len(chunk) or 1)
        return (chunk[start : start + size] for start in range(0, len(chunk), size))

    async def pay(self, blob: Hashable, size: int, before: int) -> None:
        """Charge *size* bytes of *blob*, *before* which so many came over the same connection, and wait until they are paid for."""
        if before + size <= _FREE_BYTES:
            self.charge(size)
            return
        if (turn := self._turns.get(blob)) is None:
            turn = self._turns[blob] = asyncio.Lock()
        async with turn:
            if (pause := self.charge(size)) > 0:
                metrics.UPSTREAM_RATE_WAIT_SECONDS.labels(self._upstream).inc(pause)
                await self._bandwidth.sleep(pause)

    def _counting(self) -> Iterator[tuple[str, Rate]]:
        """Yield the limits that count at this time of day."""
        minute = self._bandwidth.minute()
        return ((account, rate) for account, limit in self._limits if (rate := limit.at(minute)) is not None)


class Bandwidth:
    """The lines to all upstreams."""

    def __init__(
        self,
        accounts: Accounts,
        in_all: LineRate | None,
        wall: WallClock = time.time,
        clock: MonotonicClock = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Count in *accounts*; *in_all* is for all upstreams. *wall* tells the time of day; *sleep* waits for seconds of *clock*."""
        self._accounts = accounts
        self._in_all = in_all
        self._wall = wall
        self._clock = clock
        self.sleep = sleep

    def line(self, upstream: str, own: LineRate | None) -> Line | None:
        """Return the way to *upstream*, which may send *own*; None where nothing limits it."""
        limits = [(_IN_ALL, self._in_all), (_OF_ONE + upstream, own)]
        known = [(account, limit) for account, limit in limits if limit is not None]
        return Line(known, upstream, self) if known else None

    def owe(self, account: str, rate: Rate, size: int) -> float:
        return self._accounts.owe(account, rate, size, self._clock())

    def minute(self) -> int:
        """Return the minute of the day, where we are."""
        now = time.localtime(self._wall())
        return now.tm_hour * 60 + now.tm_min
