"""Answers whose bytes are at hand."""

import time
from collections.abc import Callable
from email.utils import formatdate
from functools import lru_cache

from aiohttp import HttpVersion11, web
from aiohttp.abc import AbstractStreamWriter
from multidict import CIMultiDict, CIMultiDictProxy

_NO_BODY = 304


class Ready(web.StreamResponse):
    """A head and a body in one write: aiohttp's own way to the same bytes takes longer than all else that a hit needs."""

    def __init__(
        self,
        status: int,
        headers: CIMultiDictProxy[str] | CIMultiDict[str],
        body: bytes = b"",
        stands: Callable[[], bool] | None = None,
    ) -> None:
        """Take the answer, and who tells later whether the same request would get it again."""
        super().__init__(status=status, headers=headers)
        self.stands = stands
        self._content = body
        self._stays = False
        if status != _NO_BODY:
            self.content_length = len(body)

    @property
    def keep_alive(self) -> bool:
        return self._stays

    def body_for(self, request: web.BaseRequest) -> bytes:
        """Give what *request* is sent of the body: HEAD none (RFC 9110, 9.3.2)."""
        return b"" if request.method == "HEAD" else self._content

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Send all of it, and wait for a client that has not taken what it was sent before: it may have asked for more than it reads."""
        transport = request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the client left")
        self._stays = stays(request)
        before, after = self.around_date(request)
        transport.write(before + date() + after)
        if request.protocol.writing_paused:
            await request.writer.drain()
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        """Do nothing: it was sent."""

    def around_date(self, request: web.BaseRequest) -> tuple[bytes, bytes]:
        """Write what *request* is sent, without the time."""
        lines = [f"{name}: {value}" for name, value in self.headers.items()]
        if not stays(request):
            lines.append("Connection: close")
        head = "\r\n".join(["", *lines, "", ""])
        if head.count("\n") != len(lines) + 2:
            raise ValueError("a header of two lines")
        return f"HTTP/1.1 {self.status} {self.reason}\r\nDate: ".encode(), head.encode() + self.body_for(request)


def stays(request: web.BaseRequest) -> bool:
    """Say whether the connection is kept for the next request."""
    return request.keep_alive and request.version == HttpVersion11


def date() -> bytes:
    """Write the time as `Date` does."""
    return _date(int(time.time()))


@lru_cache(2)
def _date(second: int) -> bytes:
    return formatdate(second, usegmt=True).encode()
