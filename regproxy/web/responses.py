"""What goes back to a client: headers, bodies from memory, bodies from files by sendfile.

aiohttp's own FileResponse is not used: it makes ETags of mtimes, answers 416 to several ranges, serves `.gz` siblings and hangs the
client when a file ends early.
"""

import errno
import secrets
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import lru_cache, partial
from typing import TypeAlias

from aiohttp import hdrs, web
from aiohttp.abc import AbstractStreamWriter
from multidict import CIMultiDict, CIMultiDictProxy, istr

from regproxy import large
from regproxy.oci.digest import Digest
from regproxy.oci.errors import RegistryError
from regproxy.oci.http.byterange import ByteRange, whole
from regproxy.oci.http.cache_status import CacheStatus
from regproxy.ports import Content, Extent, StoreError, UpstreamError
from regproxy.pull.passing import Run
from regproxy.telemetry import metrics
from regproxy.web.buffered import BufferedResponse, read_cached, read_whole
from regproxy.web.clients.metering import pay
from regproxy.web.sendfile import SMALL, send_extent

_TOGETHER = 64 * 1024  # bytes of small parts, with their heads, that are read and written at once
_SMALL_PART = 16 * 1024  # bytes
_HEAD = 160  # bytes of the head of a part
_LEAST = 16 * 1024  # bytes of a blob that is answered from memory when it is asked for again: configurations of images, mostly
Put: TypeAlias = Callable[[bytes], Awaitable[None]]
_REMEMBERED = 4096  # headers of as many answers, some 8 MB
# Names that are no `istr` become one when they are written, in each response: with all others, half a kilobyte that a slow reader keeps.
_DIGEST = istr("Docker-Content-Digest")
_CACHE_STATUS = istr("Cache-Status")
_YEAR = "max-age=31536000, immutable"


def error_response(error: RegistryError) -> web.Response:
    """Render an error the way clients of the distribution-spec read it."""
    return web.Response(body=error.body(), status=error.status, content_type="application/json", headers=error.headers)


@lru_cache(_REMEMBERED)
def content_headers(digest: Digest, cache_status: CacheStatus, media_type: str | None = None) -> CIMultiDictProxy[str]:
    """Name the content, where it came from, and what it is."""
    typed: dict[str, str] = {hdrs.CONTENT_TYPE: media_type} if media_type is not None else {}
    named: dict[str, str] = {_DIGEST: str(digest), hdrs.ETAG: f'"{digest}"', _CACHE_STATUS: cache_status.header()}
    return CIMultiDictProxy(CIMultiDict({**named, **typed}))


@lru_cache(_REMEMBERED)
def blob_headers(digest: Digest, cache_status: CacheStatus) -> CIMultiDictProxy[str]:
    """Return what `content_headers` does, and that a blob can be requested in ranges."""
    parts: dict[str, str] = {hdrs.ACCEPT_RANGES: "bytes", hdrs.CACHE_CONTROL: _YEAR}
    return CIMultiDictProxy(CIMultiDict({**content_headers(digest, cache_status, "application/octet-stream"), **parts}))


def matches(header: str | None, digest: Digest) -> bool:
    """Report whether `If-None-Match` names the digest; clients send it quoted, weak and bare (RFC 9110, 13.1.2)."""
    if header is None:
        return False
    tags = {tag.strip().removeprefix("W/").strip('"') for tag in header.split(",")}
    return "*" in tags or str(digest) in tags


async def at_hand(request: web.BaseRequest, content: Content) -> bytes | Extent | None:
    """Return small content, or where it lies for as long as anybody asks; None where there is more of it."""
    if not 0 < content.size <= SMALL or request.transport is None:
        return None
    extent = await content.extent(0, content.size)
    if extent.length != content.size:
        return None
    if content.size <= _LEAST and (body := read_cached(extent)) is not None:
        return bytes(body)
    return extent if extent.is_lasting else None


class _PartsResponse(web.StreamResponse):
    """The whole of something, a part of it, or several in their frames."""

    def __init__(self, ranges: Sequence[ByteRange], size: int, headers: CIMultiDictProxy[str]) -> None:
        """Return what comes; no ranges means the whole."""
        super().__init__(status=206 if ranges else 200, headers=headers)
        self._parts = ranges or [whole(size)]
        self._frame, self._end = _framing(self.headers) if len(ranges) > 1 else ("", b"")
        if len(ranges) == 1:
            self.headers["Content-Range"] = ranges[0].content_range()
        self.content_length = sum(len(self._head(part)) + part.length for part in self._parts) + len(self._end)

    def _head(self, part: ByteRange) -> bytes:
        """Write what comes before a part: a thousand heads would take as many times their bytes while a client does not read."""
        return f"{self._frame}{part.content_range()}\r\n\r\n".encode() if self._frame else b""


class ContentResponse(_PartsResponse):
    """Sends ranges of content, as far as they have arrived, straight from its file."""

    def __init__(self, content: Content, ranges: Sequence[ByteRange], headers: CIMultiDictProxy[str]) -> None:
        """Send *ranges* of *content*, whose size is known; none: all of it."""
        super().__init__(ranges, content.size, headers)
        self._content = content

    async def send(self, request: web.BaseRequest, endpoint: str, source: str) -> str | None:
        """Send it; where that fails on the way, end the connection short of the length and return why.

        Ending short, by FIN, is the only sign left once headers are out; containerd goes on from there with a Range.
        """
        writer = await self.prepare(request)
        if writer is None or request.method == "HEAD":
            return None
        sent = metrics.SENT_BYTES.labels(endpoint, source)
        try:
            for parts in _together(self._parts):
                if len(parts) > 1:
                    await pay(sum(part.length for part in parts))
                    await writer.write(await self._read(parts))
                else:
                    if head := self._head(parts[0]):
                        await writer.write(head)
                    await self._send_part(request, writer, parts[0])
                sent.inc(sum(part.length for part in parts))
            if self._end:
                await writer.write(self._end)
        except (UpstreamError, StoreError, OSError, TimeoutError) as error:
            self.force_close()
            if isinstance(error, OSError) and error.errno == errno.EIO:
                await self._content.spoiled()
            return str(error) or type(error).__name__
        return None

    async def _read(self, parts: Sequence[ByteRange]) -> bytes:
        """Read small parts, each behind its head, off the loop: a thousand of them take as long as a thousand requests."""
        pieces: list[bytes | Extent] = []
        for part in parts:
            pieces.append(self._head(part))
            start = part.start
            while start < part.stop:
                extent = await self._content.extent(start, part.stop)
                start += extent.length
                pieces.append(extent)
        return await large.read(partial(_joined, pieces))

    async def _send_part(self, request: web.BaseRequest, writer: AbstractStreamWriter, part: ByteRange) -> None:
        start = part.start
        while start < part.stop:
            extent = await self._content.extent(start, part.stop)
            start += extent.length
            await send_extent(request, writer, extent)


class PassedResponse(_PartsResponse):
    """Sends ranges as they come from upstream."""

    def __init__(self, parts: Sequence[ByteRange], headers: CIMultiDictProxy[str]) -> None:
        super().__init__(parts, parts[0].size, headers)

    async def send(self, request: web.BaseRequest, runs: Sequence[Run], endpoint: str, source: str) -> str | None:
        """Send the parts of each of *runs*; where one fails midway, close the connection short of the length and return why."""
        sent = metrics.SENT_BYTES.labels(endpoint, source)
        await self.prepare(request)
        begun = 0
        try:
            for run in runs:
                parts = self._parts[begun : begun + run.parts]
                await run.send(_Cutter(parts, run.start, self._head, self.write, sent.inc).put)
                begun += run.parts
            await self.write_eof(self._end)
        except (UpstreamError, OSError, TimeoutError) as error:
            self.force_close()
            return str(error) or type(error).__name__
        return None


class _Cutter:
    """Writes the parts that lie in bytes that come in order, each behind its head, and drops what is between them."""

    def __init__(
        self, parts: Sequence[ByteRange], start: int, head: Callable[[ByteRange], bytes], write: Put, sent: Callable[[int], None]
    ) -> None:
        """Cut *parts*, ordered and disjoint, out of bytes that begin at *start*."""
        self._parts = deque(parts)
        self._head = head
        self._position = start
        self._write = write
        self._sent = sent

    async def put(self, chunk: bytes) -> None:
        begin = self._position
        self._position += len(chunk)
        while self._parts and self._parts[0].start < self._position:
            part = self._parts[0]
            if part.start >= begin and (head := self._head(part)):
                await self._write(head)
            wanted = chunk[max(part.start - begin, 0) : part.stop - begin]
            await pay(len(wanted))
            await self._write(wanted)
            self._sent(len(wanted))
            if part.stop > self._position:
                return
            self._parts.popleft()


async def send_buffered(request: web.BaseRequest, response: BufferedResponse, content: Content) -> str | None:
    """Send *response*, whose body is all of *content*; where that fails on the way, end as `ContentResponse.send` does and return why."""
    await response.prepare(request)
    try:
        if response.file is not None:
            await send_extent(request, request.writer, response.file)
    except (OSError, TimeoutError) as error:
        response.force_close()
        if isinstance(error, OSError) and error.errno == errno.EIO:
            await content.spoiled()
        return str(error) or type(error).__name__
    return None


def _together(parts: Sequence[ByteRange]) -> Iterator[list[ByteRange]]:
    """Group parts, in their order: those that are small and follow each other are sent together."""
    group: list[ByteRange] = []
    size = 0
    for part in parts:
        if group and (size + part.length > _TOGETHER or part.length > _SMALL_PART):
            yield group
            group, size = [], 0
        group.append(part)
        size += part.length + _HEAD
        if part.length > _SMALL_PART:
            yield group
            group, size = [], 0
    if group:
        yield group


def _joined(pieces: Sequence[bytes | Extent]) -> bytes:
    """Read and join; raise `OSError`."""
    return b"".join(piece if isinstance(piece, bytes) else read_whole(piece) for piece in pieces)


def _framing(headers: CIMultiDict[str]) -> tuple[str, bytes]:
    """Make it multipart/byteranges (RFC 9110, 14.6): give what each part's head begins with, and what comes after the last."""
    inner, boundary = headers["Content-Type"], secrets.token_hex(16)
    headers["Content-Type"] = f"multipart/byteranges; boundary={boundary}"
    return f"\r\n--{boundary}\r\nContent-Type: {inner}\r\nContent-Range: ", f"\r\n--{boundary}--\r\n".encode()
