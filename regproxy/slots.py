"""Slots or bytes that clients share: the waiter that holds the least is next."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from regproxy.client import client
from regproxy.policy.clients.sharing import Share


class NoSlotError(Exception):
    """All slots stayed taken."""


class Slots:
    """A semaphore that one client cannot have to itself."""

    def __init__(self, share: Share) -> None:
        self._share = share
        self._taken = 0
        self._held: Counter[str] = Counter()
        self._waiting: dict[str, dict[asyncio.Future[None], int]] = {}  # by client, with weights; thousands may leave at once: no scans

    def __repr__(self) -> str:
        return f"<Slots {self._taken}/{self._share.most}, {len(self._waiting)} clients waiting>"

    @asynccontextmanager
    async def held(self, timeout: float | None = None, weight: int = 1) -> AsyncIterator[None]:
        """Hold *weight* for the current client; raise `NoSlotError` where there is not as much within *timeout* seconds."""
        try:
            await self.take(timeout, weight)
        except TimeoutError as error:
            raise NoSlotError from error
        owner = client.get()
        try:
            yield
        finally:
            self.give_back(owner, weight)

    def take_now(self, weight: int = 1) -> bool:
        """Take *weight* for the current client, and report whether there was as much."""
        may_take = self.may_take(weight)
        if may_take:
            self._grant(client.get(), weight)
        return may_take

    def may_take(self, weight: int = 1) -> bool:
        """Whether there is *weight* for the current client, and nobody waits who holds as little."""
        held = self._held[client.get()]
        return all(held < self._held[other] for other in self._waiting) and self._share.may_take(self._taken, held, weight)

    async def take(self, timeout: float | None = None, weight: int = 1) -> None:
        """Take *weight* for the current client; raise `TimeoutError` where there is not as much within *timeout* seconds."""
        if self.take_now(weight):
            return
        owner = client.get()
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue = self._waiting.setdefault(owner, {})
        queue[waiter] = weight
        try:
            async with asyncio.timeout(timeout):
                await waiter
        except BaseException:
            if waiter.done() and not waiter.cancelled():
                self.give_back(owner, weight)  # it was granted while we left
            elif queue.pop(waiter, None) is not None:
                if not queue:
                    del self._waiting[owner]
                self._serve()  # what was too much for us may do for others
            raise

    def give_back(self, owner: str, weight: int = 1) -> None:
        """Release what was taken for *owner*."""
        self._drop(owner, weight)
        self._serve()

    def pass_on(self, owner: str, other: str, weight: int) -> None:
        """Transfer what *owner* holds to *other*."""
        self._drop(owner, weight)
        self._grant(other, weight)
        self._serve()

    def _grant(self, owner: str, weight: int) -> None:
        self._taken += weight
        self._held[owner] += weight

    def _drop(self, owner: str, weight: int) -> None:
        self._taken -= weight
        self._held[owner] -= weight
        if not self._held[owner]:
            del self._held[owner]

    def _serve(self) -> None:
        """Grant what may be granted, to the clients that hold the least first, and each client's requests in their order."""
        while self._waiting:
            owner = min(self._waiting, key=self._held.__getitem__)
            queue = self._waiting[owner]
            waiter, weight = next(iter(queue.items()))
            if not waiter.done():
                if not self._share.may_take(self._taken, self._held[owner], weight):
                    return
                self._grant(owner, weight)
                waiter.set_result(None)
            del queue[waiter]
            if queue:
                self._waiting[owner] = self._waiting.pop(owner)  # those who hold as little come first next time
            else:
                del self._waiting[owner]
