"""Waiting for an answer that may not come."""

import asyncio
from typing import Any


async def is_done(answer: asyncio.Future[Any], timeout: float) -> bool:
    """Wait for an answer, and look twice: where our own loop was late, it may lie there unread."""
    for _ in range(2):
        done, _pending = await asyncio.wait({answer}, timeout=timeout / 2)
        if done:
            return True
    return False
