"""Whose turn it is in a fleet (port Leases).

A turn lives for a moment and is renewed while its work goes on: a holder that works is waited for, one that died or was stopped holds
nobody up for longer than a pull may be late. At worst two do the same.
"""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from regproxy.state.redis import RedisDoor

LIFE = 150  # milliseconds of a turn that is not renewed; with _LOOK the 200 a pull may be late
_BEAT = 0.05  # seconds between two renewals: one may be lost
_LOOK = 0.05  # seconds between two looks whether it is our turn
_LONGEST_WAIT = 3.0  # seconds; a holder whose way upstream is broken must not hold up all others, one after the other
_MINE = "if redis.call('get', KEYS[1]) ~= ARGV[1] then return 0 end "  # a turn that ended may be another's now
_RENEW = _MINE + "return redis.call('pexpire', KEYS[1], ARGV[2])"
_RELEASE = _MINE + "return redis.call('del', KEYS[1])"


class Turns:
    """Takes turns with whoever shares a Redis."""

    def __init__(self, door: RedisDoor) -> None:
        self._door = door

    @asynccontextmanager
    async def taken(self, key: str) -> AsyncIterator[None]:
        """Wait until nobody else is at it, or is taking too long; then be at it."""
        mine = secrets.token_bytes(16)
        if not await self._is_taken(key, mine):
            yield
            return
        holding = asyncio.create_task(self._hold(key, mine))
        try:
            yield
        finally:
            holding.cancel()
            self._door.call_behind(lambda redis: redis.eval(_RELEASE, 1, key, mine))

    async def _is_taken(self, key: str, mine: bytes) -> bool:
        """Say whether the turn is ours; if not, we go on without one."""
        deadline = time.monotonic() + _LONGEST_WAIT
        while time.monotonic() < deadline:
            answer = await self._door.call(lambda redis: redis.set(key, mine, nx=True, px=LIFE), refused=False)
            if answer is not None:
                return bool(answer)
            await asyncio.sleep(_LOOK)
        return False

    async def _hold(self, key: str, mine: bytes) -> None:
        while True:
            await asyncio.sleep(_BEAT)
            if not await self._door.call(lambda redis: redis.eval(_RENEW, 1, key, mine, LIFE)):
                return
