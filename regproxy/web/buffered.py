"""Responses whose bytes are at hand, in memory or in a file."""

import asyncio
import errno
import os
import time
from collections.abc import Callable
from email.utils import formatdate
from functools import lru_cache

from aiohttp import HttpVersion11, web
from aiohttp.abc import AbstractStreamWriter
from multidict import CIMultiDict, CIMultiDictProxy

from regproxy.oci.digest import Digest
from regproxy.ports import Extent

SHORTER = "the file is shorter than it was"
_NO_BODY = 304


def own_location(request: web.BaseRequest) -> str | None:
    """Return where the blob of *request* is for Ollama, which asks there for its parts, and fails without a `Location`, also of a 200.

    Source: ollama/ollama, server/download.go, and its pull request 9737.
    """
    return request.raw_path if request.headers.get("User-Agent", "").startswith("ollama/") and "Range" not in request.headers else None


def redirection(digest: Digest, url: str) -> web.Response:
    """Send a client to *url*, which no cache on the way may keep: it is a key, for a minute."""
    headers = {"Location": url, "Docker-Content-Digest": str(digest), "Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
    return web.Response(status=307, headers=headers)


class BufferedResponse(web.StreamResponse):
    """A head and a body in one write: aiohttp's own path to the same bytes takes longer than all else that a hit needs."""

    def __init__(
        self,
        status: int,
        headers: CIMultiDictProxy[str] | CIMultiDict[str],
        body: bytes | Extent = b"",
        is_current: Callable[[], bool] | None = None,
        count_uses: Callable[[int], None] | None = None,
    ) -> None:
        """Respond with *status*, *headers* and *body*; *is_current* tells later whether the same request would get it again.

        *count_uses* records that it got it so often.
        """
        super().__init__(status=status, headers=headers)
        self.is_current = is_current
        self.count_uses = count_uses
        self._content = body
        self._stays = False
        self._is_sent = False
        if status != _NO_BODY:
            self.content_length = body.length if isinstance(body, Extent) else len(body)

    @property
    def prepared(self) -> bool:
        return self._is_sent

    @property
    def keep_alive(self) -> bool:
        return self._stays

    @property
    def file(self) -> Extent | None:
        """Where the body lies, unless it is in memory."""
        return self._content if isinstance(self._content, Extent) else None

    def sent_length(self, request: web.BaseRequest) -> int:
        """Return how many bytes of the body *request* is sent: HEAD none (RFC 9110, 9.3.2)."""
        return 0 if request.method == "HEAD" else self.content_length or 0

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Send all that is in memory, and wait for a client that has not taken what it was sent before: it may ask for more than it reads.

        A body in a file is for the caller to send.
        """
        if self._is_sent:
            return None
        transport = request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the client left")
        self._is_sent = True
        self._stays = stays(request)
        before, after = self.around_date(request)
        transport.write(before + date() + after)
        if request.protocol.writing_paused:
            await request.writer.drain()
        return None

    def force_close(self) -> None:
        super().force_close()
        self._stays = False

    async def write_eof(self, data: bytes = b"") -> None:
        """Do nothing: all of it was sent."""

    def around_date(self, request: web.BaseRequest) -> tuple[bytes, bytes]:
        """Write what *request* is sent, without the time."""
        lines = [f"{name}: {value}" for name, value in self.headers.items()]
        if not stays(request):
            lines.append("Connection: close")
        head = "\r\n".join(["", *lines, "", ""])
        if head.count("\n") != len(lines) + 2:
            raise ValueError("a header of two lines")
        body = self._content if isinstance(self._content, bytes) and request.method != "HEAD" else b""
        return f"HTTP/1.1 {self.status} {self.reason}\r\nDate: ".encode(), head.encode() + body


def send_now(transport: asyncio.Transport, extent: Extent) -> int:
    """Send as much by sendfile as the socket takes without waiting, and return how many bytes: of a small blob that is all of it.

    asyncio's own sendfile does the same, and much else, which takes longer than the sending. Raise `OSError`.
    """
    if transport.is_closing() or transport.get_write_buffer_size():
        return 0
    try:
        return os.sendfile(transport.get_extra_info("socket").fileno(), extent.file.fileno(), extent.offset, extent.length)
    except BlockingIOError:
        return 0


def read_whole(extent: Extent) -> bytes:
    """Read all of *extent*; raise `OSError`."""
    found = os.pread(extent.file.fileno(), extent.length, extent.offset)
    if len(found) != extent.length:
        raise OSError(errno.EIO, SHORTER)
    return found


def read_cached(extent: Extent) -> bytearray | None:
    """Read all of *extent* if the kernel has it in memory: what has to wait for a disk waits off the loop."""
    found = bytearray(extent.length)
    try:
        count = os.preadv(extent.file.fileno(), [found], extent.offset, os.RWF_NOWAIT)
    except OSError:
        return None  # the long way finds out why
    return found if count == extent.length else None


def may_sendfile(transport: asyncio.BaseTransport, extent: Extent) -> bool:
    return extent.is_lasting and transport.get_extra_info("sslcontext") is None


def stays(request: web.BaseRequest) -> bool:
    """Report whether the connection is kept for the next request."""
    return request.keep_alive and request.version == HttpVersion11


def date() -> bytes:
    """Write the time as `Date` does."""
    return _date(int(time.time()))


@lru_cache(2)
def _date(second: int) -> bytes:
    return formatdate(second, usegmt=True).encode()
