"""Asking one host after the other, and the next one already while the last is slow to answer."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import TypeVar

from regproxy.policy.routing import Host
from regproxy.ports import UpstreamError

Result = TypeVar("Result")
Failures = list[tuple[Host, UpstreamError]]


async def first_answer(
    hosts: Sequence[Host],
    ask: Callable[[Host], Awaitable[Result]],
    hedge_after: Callable[[Host], float],
    may_hedge: Callable[[], bool],
    drop: Callable[[Result], Awaitable[None]],
) -> Result | Failures:
    """Return the first answer, or why there was none; an answer that comes too late is dropped.

    *hedge_after* says after how many seconds of silence from a host the next one is asked as well, provided that *may_hedge* then.
    """
    failures: Failures = []
    waiting = list(hosts)
    asked: dict[asyncio.Task[Result], Host] = {}
    timeout: float | None = None
    try:
        while waiting or asked:
            if waiting and (not asked or timeout is not None):
                host = waiting.pop(0)
                asked[asyncio.create_task(_asked(ask, host))] = host
                timeout = hedge_after(host) if waiting else None
            done, _pending = await asyncio.wait(asked, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            if not done and not may_hedge():
                timeout = None
            for task in done:
                host = asked.pop(task)
                error = task.exception()
                if error is None:
                    return task.result()
                if not isinstance(error, UpstreamError):
                    raise error
                failures.append((host, error))
    finally:
        await _drop_all(asked, drop)
    return failures


async def _asked(ask: Callable[[Host], Awaitable[Result]], host: Host) -> Result:
    return await ask(host)


async def _drop_all(tasks: Collection[asyncio.Task[Result]], drop: Callable[[Result], Awaitable[None]]) -> None:
    for task in tasks:
        task.cancel()
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        if not isinstance(result, BaseException):
            await drop(result)
