"""Locks between replicas (port Locks).

A lock lives for a moment and is renewed while its work goes on: a holder that works is waited for, one that died or was stopped holds
nobody up for longer than a pull may be late. At worst two do the same.

Each renewal writes another mark, made with the key and its time. Who waits believes a mark while it is new to it: whoever can write to
Redis but has no key cannot hold a lock, and one that goes on showing an old mark holds it for no longer than a holder that died.
"""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from regproxy.fleet.encryption import Encryption
from regproxy.fleet.redis import RedisConnection
from regproxy.policy.clock import WallClock

_LIFE = 3  # calls of Redis that a lock lives for if it is not renewed; with _LOOK the 200 ms that a pull may be late
_BEAT = 0.05  # seconds between two renewals: one may be lost
_LOOK = 0.05  # seconds between two looks whether it is our lock
_MAX_MARK_AGE = 5.0  # seconds, or its life if that is longer; clocks of replicas differ by less, or they ask one beside the other
_MAX_MARK_BYTES = 128
_LONGEST_WAIT = 60  # calls of Redis, 3 s; a holder whose way upstream is broken must not hold up all others, one after the other
_MINE = "if redis.call('get', KEYS[1]) ~= ARGV[1] then return 0 end "  # a lock that ended may be another's now
_TAKE = (
    f"local held = redis.call('getrange', KEYS[1], 0, {_MAX_MARK_BYTES}) if held ~= '' then return held end "
    "redis.call('set', KEYS[1], ARGV[1], 'PX', ARGV[2]) return nil"
)
_RENEW = _MINE + "redis.call('set', KEYS[1], ARGV[2], 'PX', ARGV[3]) return 1"
_RELEASE = _MINE + "return redis.call('del', KEYS[1])"


@dataclass(slots=True)
class _Lock:
    """A lock and the mark that it is held by."""

    key: str
    mark: bytes


class RedisLocks:
    """Takes locks that all replicas at one Redis see."""

    def __init__(self, connection: RedisConnection, encryption: Encryption | None, clock: WallClock) -> None:
        """Lock through *connection*; *encryption*, if any, authenticates the locks; *clock* returns epoch seconds."""
        self._life = _LIFE * connection.timeout
        self._longest_wait = _LONGEST_WAIT * connection.timeout
        self._connection = connection
        self._encryption = encryption
        self._clock = clock

    @asynccontextmanager
    async def taken(self, key: str) -> AsyncIterator[None]:
        """Wait until the lock is free or its holder takes too long, then hold it."""
        lock = _Lock(key, self._mark(key))
        if not await self._is_taken(lock):
            yield
            return
        holding = asyncio.create_task(self._hold(lock))
        try:
            yield
        finally:
            holding.cancel()
            # Who waits is to find what was put.
            self._connection.call_last(lambda redis: redis.eval(_RELEASE, 1, key, lock.mark))

    async def _is_taken(self, lock: _Lock) -> bool:
        """Report whether the lock is ours; if not, we go on without one."""
        # Without a key anybody may have written it, and what its holder finds is not shared.
        deadline = time.monotonic() + (self._longest_wait if self._encryption else self._life)
        seen, seen_at = b"", time.monotonic()
        while True:
            held = await self._connection.call(lambda redis: redis.eval(_TAKE, 1, lock.key, lock.mark, self._milliseconds), refused=False)
            if held is None:
                return True
            now = time.monotonic()
            if not isinstance(held, bytes) or now >= deadline or not self._is_believed(lock.key, held):
                return False
            if held == seen and now - seen_at >= self._life:
                return False
            if held != seen:
                seen, seen_at = held, now
            await asyncio.sleep(_LOOK)

    @property
    def _milliseconds(self) -> int:
        return round(1000 * self._life)

    def _mark(self, key: str) -> bytes:
        return self._encryption.mark(key, self._clock()) if self._encryption else secrets.token_bytes(16)

    def _is_believed(self, key: str, mark: bytes) -> bool:
        return self._encryption is None or self._encryption.is_mark(key, mark, self._clock(), max(_MAX_MARK_AGE, self._life))

    async def _hold(self, lock: _Lock) -> None:
        while True:
            await asyncio.sleep(_BEAT)
            before, after = lock.mark, self._mark(lock.key)
            lock.mark = after
            if not await self._connection.call(lambda redis, b=before, a=after: redis.eval(_RENEW, 1, lock.key, b, a, self._milliseconds)):  # type: ignore[misc]
                return
