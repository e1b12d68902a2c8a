"""A client that writes its requests byte by byte, over one connection, and reads the answers the same way."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

from tests.rig import LOOPBACK


def raw_request(path: str, method: str = "GET", **headers: str) -> bytes:
    """Write the request of a client that goes on asking."""
    lines = [f"{method} {path} HTTP/1.1", "Host: proxy", *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode()


class Caller:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    @asynccontextmanager
    async def connected(cls, port: int, *, takes: int | None = None) -> AsyncIterator[Self]:
        """Connect; the kernel *takes* about so many bytes that are not read."""
        sock = socket.socket()
        sock.setblocking(False)
        if takes is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, takes)
        await asyncio.get_running_loop().sock_connect(sock, (LOOPBACK, port))
        caller = cls(*await asyncio.open_connection(sock=sock))
        try:
            yield caller
        finally:
            caller.writer.close()

    async def ask(self, request: bytes) -> bytes:
        """Ask, and give the answer as it came."""
        self.writer.write(request)
        return await self.answer(has_body=not request.startswith(b"HEAD"))

    async def answer(self, *, has_body: bool = True) -> bytes:
        """Read one answer."""
        async with asyncio.timeout(300):
            head = await self.reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or b"0") if has_body else 0
            return head + await self.reader.readexactly(length)
