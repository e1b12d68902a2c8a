"""The connection a fake server answers on, written byte by byte."""

from http import HTTPStatus

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from tests.fakes import endings
from tests.fakes.entry import Entry
from tests.fakes.reply import Framing, Reply

_PIECE = 64 * 1024


class Wire:
    """One answer on its way out; what leaves is counted in the ledger's entry."""

    def __init__(self, request: web.BaseRequest, entry: Entry) -> None:
        self._request = request
        self._entry = entry
        self._framing = Framing.LENGTH
        self._transport = request.transport
        self.keeps_alive = request.keep_alive

    async def send(self, reply: Reply) -> None:
        """Send head and body, the body by the reply's own delivery."""
        if reply.framing is Framing.CLOSE:
            self.keeps_alive = False
        self._framing = reply.framing
        self._entry.status = reply.status
        await self._write(reply.head(keeps_alive=self.keeps_alive))
        if self._entry.method == "HEAD" or not reply.has_body:
            return
        await reply.delivery(self, reply.body)
        await self._finish()

    async def body(self, part: bytes | memoryview) -> None:
        """Send a part of the body, framed."""
        view = memoryview(part)
        for start in range(0, len(view), _PIECE):
            piece = view[start : start + _PIECE]
            await self._write(b"%x\r\n%b\r\n" % (len(piece), bytes(piece)) if self._framing is Framing.CHUNKED else piece)
            self._entry.sent += len(piece)

    def fin(self) -> None:
        """End the connection after what was written."""
        self.keeps_alive = False
        if self._transport is not None:
            self._transport.close()

    async def reset(self) -> None:
        """End the connection with RST, after what was written has arrived."""
        self.keeps_alive = False
        if self._transport is not None:
            await endings.reset(self._transport)

    @property
    def is_closed(self) -> bool:
        return self._transport is None or self._transport.is_closing()

    async def _finish(self) -> None:
        if self.is_closed:
            return
        if self._framing is Framing.CHUNKED:
            await self._write(b"0\r\n\r\n")
        elif self._framing is Framing.CLOSE:
            self.fin()

    async def _write(self, raw: bytes | memoryview) -> None:
        await self._request.writer.write(raw)


class Written(web.StreamResponse):
    """What aiohttp is told after we wrote the response ourselves."""

    def __init__(self, *, keeps_alive: bool) -> None:
        super().__init__(status=HTTPStatus.OK)
        self._keeps_alive = keeps_alive

    @property
    def keep_alive(self) -> bool:
        return self._keeps_alive

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:  # noqa: ARG002
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        """Nothing is left to be written."""
