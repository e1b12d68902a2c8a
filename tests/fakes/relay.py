"""A bad network: a TCP relay that is slow, cuts off, resets or goes silent."""

import asyncio
from typing import Literal

from tests.fakes import endings
from tests.fakes.listener import Listener, closed

_PIECE = 64 * 1024
_TICK = 0.02  # seconds between two pieces of a slowed stream


class Relay(Listener):
    """Passes bytes both ways; every attribute can be changed at any time, and counts for open connections too.

    *up* is towards the target, *down* is towards the client. The limits are about the bytes that go down, by connection.
    """

    def __init__(self, target_host: str, target_port: int, *, address: str = "127.0.0.1", port: int = 0) -> None:
        super().__init__(address=address, port=port)
        self.target = (target_host, target_port)
        self.delay = 0.0  # seconds that each piece is late, in both directions
        self.rate: float | None = None  # bytes per second and connection, down
        self.cut_after: int | None = None  # bytes down, then *ending*
        self.ending: Literal["fin", "rst"] = "fin"
        self.silent_after: int | None = None  # bytes down, then neither bytes nor an end
        self.sent_up = 0
        self.sent_down = 0
        self._open = asyncio.Event()
        self._open.set()

    @property
    def blackhole(self) -> bool:
        """Nothing passes either way, and nothing ends; what came in meanwhile passes when it is over."""
        return not self._open.is_set()

    @blackhole.setter
    def blackhole(self, value: bool) -> None:
        if value:
            self._open.clear()
        else:
            self._open.set()

    def pause(self) -> None:
        self.blackhole = True

    def resume(self) -> None:
        self.blackhole = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._open.wait()
        far_reader, far_writer = await asyncio.open_connection(*self.target)
        up = asyncio.create_task(self._pass_up(reader, far_writer))
        down = asyncio.create_task(self._pass_down(far_reader, writer))
        try:
            await down
        finally:
            for task in (up, down):
                task.cancel()
            await asyncio.gather(up, down, return_exceptions=True)
            far_writer.transport.abort()
            await closed(far_writer)

    async def _pass_up(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(_PIECE):
            await self._wait()
            writer.write(piece)
            await writer.drain()
            self.sent_up += len(piece)
        await self._wait()
        writer.write_eof()

    async def _pass_down(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass until the target ends, the client is gone, or a limit is reached."""
        passed = 0
        while True:
            if self.cut_after is not None and passed >= self.cut_after:
                return await self._end(writer)
            if self.silent_after is not None and passed >= self.silent_after:
                await asyncio.Event().wait()
            piece = await reader.read(self._room(passed))
            await self._wait()
            if not piece:
                return None
            writer.write(piece)
            await writer.drain()
            passed += len(piece)
            self.sent_down += len(piece)
            if self.rate:
                await asyncio.sleep(len(piece) / self.rate)

    async def _wait(self) -> None:
        if self.delay:
            await asyncio.sleep(self.delay)
        await self._open.wait()

    def _room(self, passed: int) -> int:
        """Say how many bytes may pass before something has to be decided."""
        limits = [limit - passed for limit in (self.cut_after, self.silent_after) if limit is not None]
        paced = [int(self.rate * _TICK)] if self.rate else []
        return max(min([_PIECE, *limits, *paced]), 1)

    async def _end(self, writer: asyncio.StreamWriter) -> None:
        if self.ending == "rst":
            await endings.reset(writer.transport)
