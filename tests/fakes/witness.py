"""Stands between clients and a server, passes everything, and remembers what a client would complain about."""

import asyncio
import time

from tests.fakes.listener import Listener, closed

_PIECE = 64 * 1024


class Witness(Listener):
    """Knows the longest time that a client waited for a byte, and how many connections the server ended with RST."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self._target = port
        self.longest_wait = 0.0  # seconds between what a client sent, or got, and what it got next
        self.resets = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        connection = _Connection(self)
        up = asyncio.create_task(connection.pass_up(reader, far_writer))
        try:
            await connection.pass_down(far_reader, writer)
        finally:
            up.cancel()
            await asyncio.gather(up, return_exceptions=True)
            far_writer.transport.abort()
            await closed(far_writer)


class _Connection:
    def __init__(self, witness: Witness) -> None:
        self._witness = witness
        self._since = time.monotonic()

    async def pass_up(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(_PIECE):
            self._since = time.monotonic()
            writer.write(piece)
            await writer.drain()
        writer.write_eof()

    async def pass_down(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await self._read(reader):
            self._witness.longest_wait = max(self._witness.longest_wait, time.monotonic() - self._since)
            writer.write(piece)
            await writer.drain()
            self._since = time.monotonic()

    async def _read(self, reader: asyncio.StreamReader) -> bytes:
        try:
            return await reader.read(_PIECE)
        except ConnectionResetError:
            self._witness.resets += 1
            raise
