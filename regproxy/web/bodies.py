"""Large bodies in memory that clients have yet to take: bounded in all and for each client.

A body of which many are sent at once is there once, and counts once.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Hashable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field

from aiohttp import web
from cachetools import LRUCache
from multidict import CIMultiDict, CIMultiDictProxy

from regproxy.client import client
from regproxy.oci import errors
from regproxy.policy.clients.sharing import Share
from regproxy.slots import Slots
from regproxy.telemetry import metrics
from regproxy.web.clients.metering import pay

LARGE = 64 * 1024  # bytes; what is smaller is written at once, and mostly taken by the kernel
_MAX_BYTES = Share.of(64 * 1024 * 1024)  # of a worker
_MAX_ASKED = Share.of(16)  # responses that may turn out to be large, from the question to upstream on; each takes some 30 MiB at most
_MAX_ASKED_OF_ONE = Share.of(8)  # upstream
_MAX_UPSTREAMS = 1024  # that are told apart: clients choose the names of those that patterns cover
_MAX_WAIT = 10.0  # seconds for others to take theirs
_RETRY_AFTER = 10  # seconds
_PIECE = 64 * 1024  # bytes written at once; as many may wait in each connection


@dataclass(slots=True)
class _Entry:
    """A body that is being sent, who it is charged to, and who is sent it how often."""

    body: bytes
    weight: int
    payer: str
    takers: Counter[str] = field(default_factory=Counter)


class BodyBudget:
    """The bytes that may be held for clients to take."""

    def __init__(self, share: Share = _MAX_BYTES) -> None:
        self._share = share
        self._slots = Slots(share)
        self._entries: dict[Hashable, _Entry] = {}
        self._upstreams: LRUCache[str, Slots] = LRUCache(_MAX_UPSTREAMS)
        self._asked = Slots(_MAX_ASKED)

    def __repr__(self) -> str:
        return f"<BodyBudget {self._slots!r}, {len(self._entries)} bodies>"

    def may_hold(self, key: Hashable, size: int) -> bool:
        """Whether `held` would hold the body called *key* now."""
        return key in self._entries or self._slots.may_take(self._weight(size))

    @asynccontextmanager
    async def asked(self, upstream: str) -> AsyncIterator[None]:
        """Wait for a turn to ask *upstream* for what may be large, and for room for it; raise `RegistryError` where that takes too long.

        An upstream that hangs has half of all turns at most.
        """
        slots = self._upstreams.setdefault(upstream, Slots(_MAX_ASKED_OF_ONE))
        owner = client.get()
        async with AsyncExitStack() as turns:
            try:
                async with asyncio.timeout(_MAX_WAIT):
                    for each in (slots, self._asked):
                        await each.take()
                        turns.callback(each.give_back, owner)
            except TimeoutError as error:
                raise self._refusal() from error
            if not self._slots.may_take(self._share.few):
                async with self.reserved():
                    pass
            yield

    @asynccontextmanager
    async def reserved(self, size: int | None = None) -> AsyncIterator["Reservation"]:
        """Wait for room for a body of *size* bytes, or of any size; raise `RegistryError` where that takes too long."""
        weight = self._share.few if size is None else self._weight(size)
        try:
            await self._slots.take(_MAX_WAIT, weight)
        except TimeoutError as error:
            raise self._refusal() from error
        reservation = Reservation(self._slots, weight)
        try:
            yield reservation
        finally:
            reservation.release()

    @contextmanager
    def held(self, key: Hashable, body: bytes, reservation: "Reservation | None" = None) -> Iterator[bytes]:
        """Hold the *body* called *key*, and give the one that is there already if there is; raise `RegistryError` where it is too much."""
        taker = client.get()
        entry = self._entries.get(key)
        if entry is None:
            weight = reservation.used() if reservation is not None else self._weight(len(body))
            if reservation is None and not self._slots.take_now(weight):
                raise self._refusal()
            entry = self._entries[key] = _Entry(body, weight, taker)
        del body
        entry.takers[taker] += 1
        try:
            yield entry.body
        finally:
            self._leave(key, entry, taker)

    def _refusal(self) -> errors.RegistryError:
        return errors.unavailable("too many large responses are waiting for their clients to read them", _RETRY_AFTER)

    def _weight(self, size: int) -> int:
        return min(size, self._share.few)

    def _leave(self, key: Hashable, entry: _Entry, taker: str) -> None:
        entry.takers[taker] -= 1
        if entry.takers[taker]:
            return
        del entry.takers[taker]
        if not entry.takers:
            del self._entries[key]
            self._slots.give_back(entry.payer, entry.weight)
        elif taker == entry.payer:
            entry.payer = next(iter(entry.takers))
            self._slots.pass_on(taker, entry.payer, entry.weight)


class Reservation:
    """Room for a body that is on its way."""

    def __init__(self, slots: Slots, weight: int) -> None:
        """Hold *weight* that the current client took of *slots*."""
        self._slots = slots
        self._weight = weight
        self._owner = client.get()

    def used(self) -> int:
        """Hand the allocation over to the caller, and return its size."""
        weight, self._weight = self._weight, 0
        return weight

    def release(self) -> None:
        if weight := self.used():
            self._slots.give_back(self._owner, weight)


class BodyResponse(web.StreamResponse):
    """A large body, written in pieces that the client has to take first."""

    def __init__(self, headers: CIMultiDictProxy[str] | CIMultiDict[str], size: int) -> None:
        super().__init__(headers=headers)
        self.content_length = size

    async def send(self, request: web.BaseRequest, body: bytes, endpoint: str, source: str) -> None:
        """Send *body*; raise `ConnectionError` where the client leaves."""
        await self.prepare(request)
        view = memoryview(body)
        for start in range(0, len(view), _PIECE):
            piece = view[start : start + _PIECE]
            await pay(len(piece))
            await self.write(piece)
        await self.write_eof()
        metrics.SENT_BYTES.labels(endpoint, source).inc(len(view))
