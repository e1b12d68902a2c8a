"""Time that passes where somebody sleeps."""

import asyncio


class Slept:
    """A clock, and the only sleep that moves it."""

    def __init__(self) -> None:
        self.began = self.now = 1000.0

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        """Sleep for no time: others that wait as long wait beside it."""
        until = self.now + seconds
        await asyncio.sleep(0)
        self.now = max(self.now, until)
