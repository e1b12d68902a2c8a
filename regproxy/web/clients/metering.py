"""What clients with a quota are sent, and on how many connections: counted over all workers.

A client that is over its rate waits: the bytes of a body come as they may. One that would wait for long, or has too many connections, gets
429. Who has no quota has no meter, and pays for nothing here.
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar
from functools import lru_cache, partial
from http import HTTPStatus
from typing import Any, Protocol
from weakref import WeakValueDictionary

from aiohttp import web

from regproxy.clients.quota_table import QuotaTable
from regproxy.oci import errors
from regproxy.policy.clients.client_quota import ClientQuota, QuotaHolder, StoreShare, find_quota
from regproxy.policy.clock import MonotonicClock
from regproxy.store_shares import store_share
from regproxy.telemetry import metrics
from regproxy.web.buffered import BufferedResponse

_MAX_WAIT = 10.0  # seconds that a request waits before its response begins
_REMEMBERED = 10_000  # clients
_RETRY_AFTER = 5  # seconds, where connections are too many

Sleep = Callable[[float], Awaitable[None]]


class Metered(Protocol):
    """A client's connection."""

    meter: "Meter | None"

    def is_waiting(self) -> bool: ...

    def close(self) -> None: ...

    def force_close(self) -> None: ...


class Meter:
    """One client's quota, and its connections at this worker."""

    def __init__(self, holder: QuotaHolder, quota: ClientQuota, table: QuotaTable, clock: MonotonicClock, sleep: Sleep) -> None:
        self.quota = quota
        self.holder = holder
        self.piece = quota.piece
        self.store_share = StoreShare(str(holder), quota.store) if quota.store is not None else None
        self._rate = quota.bucket
        self._key = str(holder)
        self._table = table
        self._clock = clock
        self._sleep = sleep
        self._connections: dict[Metered, None] = {}  # the oldest first

    def __repr__(self) -> str:
        return f"<Meter of {self.holder}, {len(self._connections)} connections>"

    async def take(self, size: int) -> None:
        """Wait until *size* bytes may be sent."""
        if self._rate is None:
            return
        if (pause := self._table.owe(self._key, self._rate, size, self._clock())) > 0:
            metrics.QUOTA_WAIT_SECONDS.inc(pause)
            try:
                await self._sleep(pause)
            except BaseException:
                self._table.give_back(self._key, self._rate, size, self._clock())
                raise

    def charge(self, size: int) -> None:
        """Record that *size* bytes are sent; whatever comes next waits for them."""
        if self._rate is not None:
            self._table.owe(self._key, self._rate, size, self._clock())

    def pause(self) -> float:
        """Return in how many seconds it may be sent more."""
        return 0.0 if self._rate is None else self._table.pause(self._key, self._rate, self._clock())

    def connect(self, connection: Metered) -> bool:
        """Count *connection*, in place of an idle one if need be; report whether the client may have it."""
        while not self._counts(len(self._connections) + 1):
            idle = next((each for each in self._connections if each.is_waiting()), None)
            if idle is None:
                return False
            self.disconnect(idle)
            idle.force_close()
        self._connections[connection] = None
        connection.meter = self
        return True

    def disconnect(self, connection: Metered) -> None:
        connection.meter = None
        if self._connections.pop(connection, self) is None:
            self._table.connect(self._key, len(self._connections), None, self._clock())

    def _counts(self, own: int) -> bool:
        return self._table.connect(self._key, own, self.quota.connections, self._clock())


meter: ContextVar[Meter | None] = ContextVar("meter", default=None)
"""Of the client that is answered."""


class Meters:
    """The meters of clients that have a quota."""

    def __init__(
        self, quotas: Sequence[ClientQuota], table: QuotaTable, clock: MonotonicClock = time.monotonic, sleep: Sleep = asyncio.sleep
    ) -> None:
        """Go by the first of *quotas* that names a client, and count in *table*; *sleep* waits for seconds of *clock*."""
        self._find = lru_cache(_REMEMBERED)(partial(find_quota, tuple(quotas)))
        self._holder = lru_cache(_REMEMBERED)(QuotaHolder.of)
        self._make = partial(Meter, table=table, clock=clock, sleep=sleep)
        self._meters: WeakValueDictionary[QuotaHolder, Meter] = WeakValueDictionary()

    def of(self, name: str, address: str) -> Meter | None:
        """Return the meter of a client by *name*, or by *address* where it has none; None where it has no quota."""
        holder = self._holder(name, address)
        quota = self._find(holder)
        if quota is None:
            return None
        if (found := self._meters.get(holder)) is None:
            found = self._meters[holder] = self._make(holder, quota)
        return found

    async def enter(self, request: web.BaseRequest, name: str) -> None:
        """Count the connection of *request* as one of client *name*, and wait until it may be sent something; raise `RegistryError`."""
        found = self.of(name, request.remote or "")
        connection: Any = request.protocol
        meter.set(found)
        store_share.set(found.store_share if found is not None else None)
        if connection is not None and (before := connection.meter) is not found and before is not None:
            before.disconnect(connection)
        if found is None or connection is None:
            return
        if connection.meter is None and not found.connect(connection):
            metrics.QUOTA_REFUSALS.labels("connections").inc()
            connection.close()
            message = f"{found.holder} has {found.quota.connections} connections, as many as its quota allows: use fewer at once"
            raise errors.too_many_requests(message, _RETRY_AFTER)
        if (pause := found.pause()) > _MAX_WAIT:
            metrics.QUOTA_REFUSALS.labels("rate").inc()
            connection.close()
            message = f"{found.holder} has used up its {found.quota.rate} bytes per second for {pause:.0f} s: pull less at once, or later"
            raise errors.too_many_requests(message, math.ceil(pause))
        if pause:
            await found.take(0)


async def pay(size: int) -> None:
    """Wait until the client that is answered may be sent *size* bytes more."""
    if (found := meter.get()) is not None:
        await found.take(size)


def charge_buffered(request: web.BaseRequest, response: web.StreamResponse) -> None:
    """Charge what was sent at once to the client that was answered; other bodies are charged as they are sent."""
    if (found := meter.get()) is None or response.status >= HTTPStatus.BAD_REQUEST:
        return
    if isinstance(response, BufferedResponse):
        found.charge(response.sent_length(request) if response.file is None else 0)
    elif isinstance(response, web.Response) and isinstance(response.body, bytes):
        found.charge(len(response.body))
