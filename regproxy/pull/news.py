"""Waiting for something to have changed."""

import asyncio


class News:
    """Wakes all who wait, each time; meant for a handful."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    async def wait(self) -> None:
        await self._event.wait()

    def tell(self) -> None:
        told, self._event = self._event, asyncio.Event()
        told.set()
