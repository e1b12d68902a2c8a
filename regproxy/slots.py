"""Slots that clients share: whoever waits and holds the fewest is next."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from regproxy.client import client
from regproxy.policy.sharing import Share


class NoSlotError(Exception):
    """All slots stayed taken."""


class Slots:
    """A semaphore that one client cannot have to itself."""

    def __init__(self, share: Share) -> None:
        self._share = share
        self._taken = 0
        self._held: Counter[str] = Counter()
        self._waiting: dict[str, dict[asyncio.Future[None], None]] = {}  # thousands may leave at once: no scans

    def __repr__(self) -> str:
        return f"<Slots {self._taken}/{self._share.most}, {len(self._waiting)} clients waiting>"

    @asynccontextmanager
    async def held(self, timeout: float | None = None) -> AsyncIterator[None]:
        """Hold a slot for the current client; raise `NoSlotError` where there is none within *timeout* seconds."""
        try:
            await self.take(timeout)
        except TimeoutError as error:
            raise NoSlotError from error
        owner = client.get()
        try:
            yield
        finally:
            self.give_back(owner)

    async def take(self, timeout: float | None = None) -> None:
        """Take a slot for the current client; raise `TimeoutError` where there is none within *timeout* seconds."""
        owner = client.get()
        if owner not in self._waiting and self._share.may_take(self._taken, self._held[owner]):
            self._grant(owner)
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue = self._waiting.setdefault(owner, {})
        queue[waiter] = None
        try:
            async with asyncio.timeout(timeout):
                await waiter
        except BaseException:
            if waiter.done() and not waiter.cancelled():
                self.give_back(owner)  # it was granted while we left
            elif queue.pop(waiter, waiter) is None and not queue:
                del self._waiting[owner]
            raise

    def give_back(self, owner: str) -> None:
        """Give back a slot that was taken for *owner*."""
        self._taken -= 1
        self._held[owner] -= 1
        if not self._held[owner]:
            del self._held[owner]
        self._serve()

    def _grant(self, owner: str) -> None:
        self._taken += 1
        self._held[owner] += 1

    def _serve(self) -> None:
        """Grant what may be granted, to the clients that hold the fewest first, and each client's requests in their order."""
        while self._waiting:
            owner = min(self._waiting, key=self._held.__getitem__)
            if not self._share.may_take(self._taken, self._held[owner]):
                return
            queue = self._waiting[owner]
            waiter = next(iter(queue))
            del queue[waiter]
            if queue:
                self._waiting[owner] = self._waiting.pop(owner)  # those who hold as few come first next time
            else:
                del self._waiting[owner]
            if not waiter.done():
                self._grant(owner)
                waiter.set_result(None)
