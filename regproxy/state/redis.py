"""What replicas share through Redis: tokens, what tags mean, and whose turn it is (port Fleet).

Redis makes us faster, never right. A call that takes longer than it may, or a connection that fails, shuts the door: from then on nobody
waits for Redis at all, and one task knocks until it is back. A call belongs to a task of its own, so a client that leaves cannot cancel
one half-way (CVE-2023-28858), and every value is sealed under its name, so that even another's answer would not be believed.
"""

import asyncio
import json
import logging
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from regproxy import metrics
from regproxy.log import fields
from regproxy.oci.descriptor import Descriptor
from regproxy.oci.digest import Digest
from regproxy.oci.reference import Reference
from regproxy.policy.freshness import TagRecord
from regproxy.policy.routing import Secret
from regproxy.policy.tokens import Token
from regproxy.state.seal import Seal

PATIENCE = 0.05  # seconds for a call, of which a miss makes four at most; a Redis on the same network needs one thousandth
_KNOCK = 0.5  # seconds between two tries to reach a Redis that was lost
_LARGEST = 64 * 1024  # bytes read of a value; ours are a few KiB
_TAGS_KEPT = 3600  # seconds; a record that is older is asked anew anyway
_TURN = 10_000  # milliseconds after which a turn ends by itself, its holder being dead or stopped
_LONGEST_WAIT = 3.0  # seconds for one's turn; then we ask ourselves, and at worst twice in the fleet
_LOOK = 0.05  # seconds between two looks whether it is our turn
_RELEASE = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end"  # a turn that ended may be another's now
_CONNECTIONS = 32

Result = TypeVar("Result")

_log = logging.getLogger(__name__)


class RedisFleet:
    """The replicas that share one Redis and one key."""

    def __init__(self, url: str, key: str, clock: Callable[[], float] = time.time) -> None:
        """Connect to nothing yet."""
        retry = Retry(NoBackoff(), 0)  # a retry would wait; the door decides when to try again
        pool = BlockingConnectionPool.from_url(url, max_connections=_CONNECTIONS, timeout=None, socket_connect_timeout=1.0, retry=retry)
        self._redis: Redis = Redis(connection_pool=pool)
        self._seal = Seal(key)
        self._clock = clock
        self._knocking: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    async def token(self, key: Secret) -> Token | None:
        document = await self._get(f"regproxy:token:{self._seal.name(key.value)}")
        try:
            return Token(Secret(document["value"]), document["renew_at"], document["expires_at"]) if document else None
        except KeyError:
            return None

    def put_token(self, key: Secret, token: Token) -> None:
        document = {"value": token.value.value, "renew_at": token.renew_at, "expires_at": token.expires_at}
        self._put(f"regproxy:token:{self._seal.name(key.value)}", document, token.expires_at - self._clock())

    async def tag(self, reference: Reference) -> TagRecord | None:
        document = await self._get(f"regproxy:tag:{self._seal.name(str(reference))}")
        try:
            return TagRecord(_descriptor(document), document["checked_at"]) if document else None
        except (KeyError, ValueError):
            return None

    def put_tag(self, reference: Reference, record: TagRecord) -> None:
        found = record.descriptor
        document = {"media_type": found.media_type, "digest": str(found.digest), "size": found.size, "checked_at": record.checked_at}
        self._put(f"regproxy:tag:{self._seal.name(str(reference))}", document, _TAGS_KEPT)

    @asynccontextmanager
    async def turn(self, name: str) -> AsyncIterator[None]:
        """Wait until no other replica is at it, or is taking too long."""
        key, mine = f"regproxy:turn:{self._seal.name(name)}", secrets.token_bytes(16)
        deadline = time.monotonic() + _LONGEST_WAIT
        while await self._call(lambda: self._redis.set(key, mine, nx=True, px=_TURN), refused=True) is None:
            if time.monotonic() > deadline:
                break
            await asyncio.sleep(_LOOK)
        try:
            yield
        finally:
            self._start(self._call(lambda: self._redis.eval(_RELEASE, 1, key, mine)))

    async def close(self) -> None:
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._knocking is not None:
            self._knocking.cancel()
            await asyncio.gather(self._knocking, return_exceptions=True)
        await self._redis.aclose()
        await self._redis.connection_pool.disconnect()

    async def _get(self, name: str) -> dict[str, Any] | None:
        sealed = await self._call(lambda: self._redis.getrange(name, 0, _LARGEST))
        opened = self._seal.opened(name, sealed) if isinstance(sealed, bytes) and sealed else None
        return json.loads(opened) if opened is not None else None

    def _put(self, name: str, document: dict[str, Any], life: float) -> None:
        """Write behind the answer."""
        sealed = self._seal.sealed(name, json.dumps(document).encode())
        if life >= 1:
            self._start(self._call(lambda: self._redis.set(name, sealed, ex=int(life))))

    async def _call(self, command: Callable[[], Awaitable[Any]], refused: Any = None) -> Any:  # noqa: ANN401  whatever Redis says
        """Give Redis a moment to answer; *refused* where it will not, or is not asked."""
        if self._knocking is not None:
            return refused
        task = self._start(_performed(command))
        try:
            if not await _is_done(task):
                task.cancel()
                return self._lost("silent", refused)
            return task.result()
        except ResponseError as error:  # it is there, but read-only, out of memory, or the value is a stranger's
            metrics.REDIS_ERRORS.inc()
            _log.debug("redis refused", extra=fields(reason=type(error).__name__))
            return refused
        except (RedisError, OSError) as error:
            return self._lost(type(error).__name__, refused)

    def _lost(self, reason: str, refused: Result) -> Result:
        metrics.REDIS_ERRORS.inc()
        if self._knocking is None:
            _log.warning("redis is out of reach: going on without it", extra=fields(reason=reason))
            self._knocking = asyncio.create_task(self._knock(), name="redis knock")
        return refused

    async def _knock(self) -> None:
        while True:
            await asyncio.sleep(_KNOCK)
            try:
                async with asyncio.timeout(PATIENCE):
                    await self._redis.connection_pool.disconnect(inuse_connections=False)  # they died with the last Redis
                    await _performed(self._redis.ping)
            except (RedisError, OSError, TimeoutError):
                continue
            _log.info("redis is back")
            self._knocking = None
            return

    def _start(self, work: Awaitable[Result]) -> asyncio.Task[Result]:
        task: asyncio.Task[Result] = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


async def _performed(command: Callable[[], Awaitable[Result]]) -> Result:
    return await command()


async def _is_done(task: asyncio.Task[Any]) -> bool:
    """Wait for a call, and look twice: where our own loop was late, the answer may lie there unread."""
    for _ in range(2):
        done, _pending = await asyncio.wait({task}, timeout=PATIENCE / 2)
        if done:
            return True
    return False


def _descriptor(document: dict[str, Any]) -> Descriptor:
    return Descriptor(document["media_type"], Digest.parse(document["digest"]), document["size"])
