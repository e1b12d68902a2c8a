"""One shared task per key, however many callers wait for it.

A caller that is cancelled leaves the others alone, and the task goes on without it. `asyncio.shield` would do that too, but each of its
callers adds a callback that is removed by a scan: 20,000 clients leaving at once block the loop for three seconds. Here each caller
has a future of its own in a set.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Result = TypeVar("Result")


class Flights(Generic[Key, Result]):
    """Calls in progress, by key."""

    def __init__(self) -> None:
        self._waiters: dict[Key, set[asyncio.Future[Result]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._waiters)

    async def join(self, key: Key, call: Callable[[], Awaitable[Result]]) -> Result:
        """Wait for the call under *key*, starting it if there is none; everyone gets its result or its exception."""
        waiters = self._waiters.get(key)
        if waiters is None:
            waiters = self._waiters[key] = set()
            task = asyncio.create_task(self._fly(key, call), name=f"flight {key}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        waiter: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        waiters.add(waiter)
        try:
            return await waiter
        finally:
            waiters.discard(waiter)

    async def close(self) -> None:
        """Cancel what is still in progress and wait until it is gone."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _fly(self, key: Key, call: Callable[[], Awaitable[Result]]) -> None:
        try:
            result = await call()
        except asyncio.CancelledError:
            for waiter in self._landed(key):
                waiter.cancel()
            raise
        except Exception as error:  # whatever it is, it belongs to those who wait, not to this task
            for waiter in self._landed(key):
                waiter.set_exception(error)
        else:
            for waiter in self._landed(key):
                waiter.set_result(result)

    def _landed(self, key: Key) -> list[asyncio.Future[Result]]:
        """End the flight: whoever asks from now on starts another."""
        return [waiter for waiter in self._waiters.pop(key) if not waiter.done()]
