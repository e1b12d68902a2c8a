"""Waiting for something to have changed."""

import asyncio
from collections import deque

_AT_ONCE = 64  # waiters woken in one turn of the loop; what each then does takes a tenth of a millisecond


class Notifier:
    """Wakes all waiters at each notification, in batches: thousands in one turn of the loop would keep the notifier from its own."""

    def __init__(self) -> None:
        self._waiters: deque[tuple[int, asyncio.Future[None]]] = deque()  # with how many had been told when they began to wait
        self._told = 0
        self._is_telling = False

    async def wait(self) -> None:
        """Wait for the next news."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append((self._told, waiter))
        await waiter

    def tell(self) -> None:
        self._told += 1
        if not self._is_telling:
            self._tell_some()

    def _tell_some(self) -> None:
        for _ in range(_AT_ONCE):
            if not self._waiters or self._waiters[0][0] == self._told:
                self._is_telling = False
                return
            _, waiter = self._waiters.popleft()
            if not waiter.done():  # it left
                waiter.set_result(None)
        self._is_telling = True
        asyncio.get_running_loop().call_soon(self._tell_some)
