"""A connection to a Redis that may be gone at any time.

Redis makes us faster, never right. A call that times out or fails closes the connection: from then on no request waits for Redis, and one
task tries until it is back. A call runs in a task of its own, so that a client that leaves cannot cancel one half-way (CVE-2023-28858).
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import InvalidResponse, RedisError, ResponseError

from regproxy.fleet.waiting import is_done
from regproxy.telemetry import metrics
from regproxy.telemetry.log import fields

TIMEOUT = 0.05  # seconds for a call, of which a miss makes four at most; a Redis on the same network needs one thousandth
_CONNECT = 1.0  # seconds, or as many as a call has where that is more
_KNOCK = 0.5  # seconds between two tries to reach a Redis that was lost
_CONNECTIONS = 32

Result = TypeVar("Result")
Command = Callable[[Redis], Awaitable[Any]]

_log = logging.getLogger(__name__)


class RedisConnection:
    """The connection to one Redis: open, or closed for a while after it did not answer."""

    def __init__(self, url: str, timeout: float = TIMEOUT) -> None:
        """Connect to nothing yet; a call has *timeout* seconds."""
        retry = Retry(NoBackoff(), 0)  # a retry would wait; the connection decides when to try again
        pool = BlockingConnectionPool.from_url(
            url, max_connections=_CONNECTIONS, timeout=None, socket_connect_timeout=max(_CONNECT, timeout), retry=retry
        )
        self._redis: Redis = Redis(connection_pool=pool)
        self.timeout = timeout
        self._knocking: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    async def call(self, command: Command, refused: Any = None) -> Any:  # noqa: ANN401  whatever Redis says
        """Return Redis's answer to *command*; *refused* where it does not answer in time, or is not asked."""
        if self._knocking is not None:
            return refused
        task = self._start(_performed(command, self._redis))
        try:
            if not await is_done(task, self.timeout):
                task.cancel()
                return self._lost("silent", refused)
            return task.result()
        except ResponseError as error:  # it is there, but read-only, out of memory, or the value is a stranger's
            metrics.REDIS_ERRORS.inc()
            _log.debug("redis refused", extra=fields(reason=type(error).__name__))
            return refused
        except (RedisError, OSError) as error:
            return self._lost(type(error).__name__, refused)

    def call_behind(self, command: Command) -> None:
        """Call without waiting for the answer."""
        self._start(self.call(command))

    def call_last(self, command: Command) -> None:
        """Call without waiting for the answer, once the calls that are on their way have ended: other connections may be slower."""
        self._start(self._after(list(self._tasks), command))

    async def _after(self, calls: Sequence[asyncio.Task[Any]], command: Command) -> None:
        await asyncio.gather(*calls, return_exceptions=True)
        await self.call(command)

    async def settled(self) -> None:
        """Wait until no call is under way, and the connection is open if it was shut."""
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if (knocking := self._knocking) is not None:
            await knocking

    async def close(self) -> None:
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._knocking is not None:
            self._knocking.cancel()
            await asyncio.gather(self._knocking, return_exceptions=True)
        await self._redis.aclose()
        await self._redis.connection_pool.disconnect()

    def _lost(self, reason: str, refused: Result) -> Result:
        metrics.REDIS_ERRORS.inc()
        if self._knocking is None:
            _log.warning("redis unreachable: continuing without it", extra=fields(reason=reason))
            self._knocking = asyncio.create_task(self._knock(), name="redis knock")
        return refused

    async def _knock(self) -> None:
        while True:
            await asyncio.sleep(_KNOCK)
            try:
                async with asyncio.timeout(self.timeout):
                    await self._redis.connection_pool.disconnect(inuse_connections=False)  # they died with the last Redis
                    await _performed(Redis.ping, self._redis)
            except (RedisError, OSError, TimeoutError):
                continue
            _log.info("redis reachable again")
            self._knocking = None
            return

    def _start(self, work: Awaitable[Result]) -> asyncio.Task[Result]:
        task: asyncio.Task[Result] = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


async def _performed(command: Callable[[Redis], Awaitable[Result]], redis: Redis) -> Result:
    """Perform *command*; raise `RedisError` or `OSError`."""
    try:
        return await command(redis)
    except (RedisError, OSError):
        raise
    except Exception as error:  # whatever the library's parser stumbles over: ValueError, TypeError, RecursionError
        raise InvalidResponse(f"what answers does not speak as Redis does: {type(error).__name__}") from error


async def ranges(redis: Redis, keys: Sequence[str], last: int) -> list[Any]:
    """Read the first bytes of several values in one round trip; an error stands for itself."""
    if len(keys) == 1:
        return [await redis.getrange(keys[0], 0, last)]
    pipeline = redis.pipeline(transaction=False)
    for key in keys:
        pipeline.getrange(key, 0, last)
    return list(await pipeline.execute(raise_on_error=False))
