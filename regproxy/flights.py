"""One shared task per key, however many callers wait for it.

A caller that is cancelled leaves the others alone, and the task goes on without it. `asyncio.shield` would do that too, but each of its
callers adds a callback that is removed by a scan: 20,000 clients leaving at once block the loop for three seconds. Here each caller
has a future of its own in a set.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Hashable
from functools import partial
from typing import Any, Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Result = TypeVar("Result")


class Flights(Generic[Key, Result]):
    """Calls in progress, by key."""

    def __init__(self) -> None:
        self._waiters: dict[Key, set[asyncio.Future[Result]]] = {}
        self._tasks: set[asyncio.Task[Result]] = set()

    def __len__(self) -> int:
        return len(self._waiters)

    async def join(self, key: Key, call: Callable[[], Awaitable[Result]]) -> Result:
        """Wait for the call under *key*, starting it if there is none; everyone gets its result or its exception."""
        self.start(key, call)
        waiters = self._waiters[key]
        waiter: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        waiters.add(waiter)
        try:
            return await waiter
        finally:
            waiters.discard(waiter)
            del waiter  # it keeps the exception, whose traceback keeps this frame

    def start(self, key: Key, call: Callable[[], Awaitable[Result]]) -> None:
        """Begin the call under *key* if there is none, and wait for nothing."""
        if key in self._waiters:
            return
        self._waiters[key] = set()
        task = asyncio.create_task(_fly(call), name=f"flight {key}")
        self._tasks.add(task)
        task.add_done_callback(partial(self._land, key))

    async def close(self) -> None:
        """Cancel what is still in progress and wait until it is gone."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _land(self, key: Key, task: asyncio.Task[Result]) -> None:
        """End the flight: the next caller starts another. A callback runs even where the task was cancelled before it began."""
        self._tasks.discard(task)
        failure = None if task.cancelled() else task.exception()
        for waiter in self._waiters.pop(key):
            if waiter.done():
                continue
            if task.cancelled():
                waiter.cancel()
            elif failure is not None:
                waiter.set_exception(failure)
            else:
                waiter.set_result(task.result())


async def drain(tasks: Collection[asyncio.Task[Any]], grace: float) -> None:
    """Wait up to *grace* seconds for tasks, then cancel them."""
    if tasks:
        await asyncio.wait(tasks, timeout=grace)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _fly(call: Callable[[], Awaitable[Result]]) -> Result:
    return await call()
