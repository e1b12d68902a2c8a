"""A body on its way in: what comes too slowly ends; of a large one, the space for all of it is reserved meanwhile."""

import asyncio
import time
from collections.abc import AsyncIterator

from aiohttp import StreamReader, web

from regproxy.policy.upstream.throughput import Throughput

_TIMEOUT = 60.0  # seconds without a byte, or of a trickle
_MIN_RATE = 1024  # bytes per second
_CHUNK = 1024 * 1024


async def comes_in_time(request: web.BaseRequest, timeout: float = _TIMEOUT) -> bool:
    """Receive a small body within *timeout* seconds, and return whether it came; aiohttp keeps it for whoever parses it."""
    try:
        async with asyncio.timeout(timeout):
            await request.read()
    except TimeoutError:
        return False
    return True


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
