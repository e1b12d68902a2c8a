"""A client that asks again and again over one connection, and forgives nothing that RFC 9112 does not make it forgive."""

import asyncio
from contextlib import suppress

from tests.rig import LOOPBACK


class Loader:
    """Asks for one path until it is stopped, and counts answers and failures; a connection is left when the answer says so."""

    def __init__(self, port: int, path: str, body: bytes, pause: float = 0.0) -> None:
        self._port = port
        self._request = f"GET {path} HTTP/1.1\r\nHost: proxy\r\n\r\n".encode()
        self._body = body
        self._pause = pause
        self.answers = 0
        self.failures: list[str] = []

    async def run(self, stop: asyncio.Event) -> None:
        writer: asyncio.StreamWriter | None = None
        while not stop.is_set():
            try:
                if writer is None:
                    reader, writer = await asyncio.open_connection(LOOPBACK, self._port)
                if await self._is_last(reader, writer):
                    await _closed(writer)
                    writer = None
                self.answers += 1
            except (OSError, EOFError, ValueError, AssertionError) as error:
                self.failures.append(repr(error))
                await _closed(writer)
                writer = None
            await asyncio.sleep(self._pause)
        await _closed(writer)

    async def _is_last(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Ask once, and say whether the connection ends with the answer."""
        writer.write(self._request)
        async with asyncio.timeout(300):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            assert head.startswith("http/1.1 200 "), head.partition("\r\n")[0]
            length = int(head.partition("content-length: ")[2].partition("\r\n")[0])
            assert await reader.readexactly(length) == self._body
        return "\r\nconnection: close" in head


async def _closed(writer: asyncio.StreamWriter | None) -> None:
    if writer is not None:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
