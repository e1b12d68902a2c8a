"""A large body on its way in: what comes too slowly ends, because the space for all of it is reserved meanwhile."""

import asyncio
import time
from collections.abc import AsyncIterator

from aiohttp import StreamReader

from regproxy.policy.upstream.throughput import Throughput

_TIMEOUT = 60.0  # seconds without a byte, or of a trickle
_MIN_RATE = 1024  # bytes per second
_CHUNK = 1024 * 1024


async def received(content: StreamReader, timeout: float = _TIMEOUT) -> AsyncIterator[bytes]:
    """Yield a body as it comes; raise `TimeoutError` where nothing, or next to nothing, comes for *timeout* seconds."""
    pace = Throughput(_MIN_RATE)
    while True:
        began = time.monotonic()
        async with asyncio.timeout(timeout):
            chunk = await content.read(_CHUNK)
        if not chunk:
            return
        pace.received(len(chunk), time.monotonic() - began)
        if pace.is_over:
            pace.look()
        if pace.slow_for >= timeout:
            raise TimeoutError
        yield chunk
