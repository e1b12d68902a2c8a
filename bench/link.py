"""A long line for `bench.hosts`: every byte is late, and each connection has a rate of its own."""

import asyncio

from tests.fakes.listener import Listener, closed

_PIECE = 64 * 1024


class LongLine(Listener):
    """Passes bytes both ways, *delay* seconds late; *rate* bytes per second and connection towards the client."""

    def __init__(self, target: tuple[str, int], delay: float, rate: float) -> None:
        super().__init__()
        self._target = target
        self._delay = delay
        self._rate = rate
        self.sent_down = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(self._delay)  # the handshake: loopback's own takes no time
        far_reader, far_writer = await asyncio.open_connection(*self._target)
        passing = [
            asyncio.create_task(self._pass(reader, far_writer, None)),
            asyncio.create_task(self._pass(far_reader, writer, self._rate)),
        ]
        try:
            await asyncio.wait(passing, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in passing:
                task.cancel()
            await asyncio.gather(*passing, return_exceptions=True)
            far_writer.transport.abort()
            await closed(far_writer)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, rate: float | None) -> None:
        """Read at the rate, and let what was read arrive later, however much is on the line meanwhile."""
        loop = asyncio.get_running_loop()
        line: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        arriving = asyncio.create_task(self._arrive(line, writer, counts=rate is not None))
        due = loop.time()
        try:
            while piece := await reader.read(_PIECE):
                due = max(due, loop.time()) + (len(piece) / rate if rate else 0.0)
                await asyncio.sleep(max(due - loop.time(), 0.0))
                line.put_nowait((loop.time() + self._delay, piece))
            line.put_nowait((loop.time() + self._delay, b""))
            await arriving
        finally:
            arriving.cancel()

    async def _arrive(self, line: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter, *, counts: bool) -> None:
        loop = asyncio.get_running_loop()
        while True:
            when, piece = await line.get()
            await asyncio.sleep(max(when - loop.time(), 0.0))
            if not piece:
                return
            writer.write(piece)
            self.sent_down += len(piece) if counts else 0
            await writer.drain()
