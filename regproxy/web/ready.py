"""Answers whose bytes are at hand."""

import time
from email.utils import formatdate
from functools import lru_cache

from aiohttp import HttpVersion11, web
from aiohttp.abc import AbstractStreamWriter
from multidict import CIMultiDict, CIMultiDictProxy

_NO_BODY = 304


class Ready(web.StreamResponse):
    """A head and a body in one write: aiohttp's own way to the same bytes takes longer than all else that a hit needs."""

    def __init__(self, status: int, headers: CIMultiDictProxy[str] | CIMultiDict[str], body: bytes = b"") -> None:
        super().__init__(status=status, headers=headers)
        self._content = body
        self._stays = False
        if status != _NO_BODY:
            self.content_length = len(body)

    @property
    def keep_alive(self) -> bool:
        return self._stays

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Send all of it, and wait for a client that has not taken what it was sent before: it may have asked for more than it reads."""
        transport = request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the client left")
        self._stays = request.keep_alive and request.version == HttpVersion11
        body = b"" if request.method == "HEAD" else self._content
        transport.write(self._head() + body)
        if request.protocol.writing_paused:
            await request.writer.drain()
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        """Do nothing: it was sent."""

    def _head(self) -> bytes:
        lines = [f"HTTP/1.1 {self.status} {self.reason}", f"Date: {_date(int(time.time()))}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        if not self._stays:
            lines.append("Connection: close")
        head = "\r\n".join([*lines, "", ""])
        if head.count("\n") != len(lines) + 1:
            raise ValueError("a header of two lines")
        return head.encode()


@lru_cache(2)
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)
