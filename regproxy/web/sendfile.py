"""Bytes of a file to a client: by sendfile where the kernel will do it, by reading elsewhere (TLS)."""

import asyncio
import contextlib
import errno
import os
from dataclasses import replace

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from regproxy.ports import Extent
from regproxy.web.buffered import SHORTER, may_sendfile, read_cached, send_now
from regproxy.web.clients.metering import meter

_STRIDE = 1024 * 1024
_COPIED = 256 * 1024  # bytes read at once: a client that reads slowly keeps them in memory
SMALL = 256 * 1024  # bytes sent without a look at other clients, in a tenth of a millisecond


async def send_extent(request: web.BaseRequest, writer: AbstractStreamWriter, extent: Extent) -> None:
    """Send bytes of a file behind what was written before, as fast as the client's quota allows; raise `OSError`."""
    if (paying := meter.get()) is None:
        await _send(request, writer, extent)
        return
    for start in range(0, extent.length, paying.piece):
        piece = replace(extent, offset=extent.offset + start, length=min(paying.piece, extent.length - start))
        await paying.take(piece.length)
        await _send(request, writer, piece)


async def _send(request: web.BaseRequest, writer: AbstractStreamWriter, extent: Extent) -> None:
    sent = _taken_at_once(request, extent) if extent.length <= SMALL else 0
    while sent < extent.length:
        piece = replace(extent, offset=extent.offset + sent, length=min(extent.length - sent, _STRIDE))
        sent += await _send_piece(request, writer, piece)


def _taken_at_once(request: web.BaseRequest, extent: Extent) -> int:
    """Send what the socket takes without waiting, if sendfile will do, and return how many bytes."""
    if request.transport is None or not may_sendfile(request.transport, extent):
        return 0
    try:
        return send_now(request.transport, extent)
    except OSError:
        return 0  # the long way finds out why


async def _send_piece(request: web.BaseRequest, writer: AbstractStreamWriter, piece: Extent) -> int:
    """Send it by sendfile, or some of it by reading where that does not do (TLS), and return how much.

    Raise `OSError` where the file cannot be read or is shorter. asyncio says the same of a sendfile that this file system lacks, a disk
    that fails and a client that left; reading finds out which.
    """
    transport = request.transport
    if transport is None or transport.is_closing():
        raise ConnectionResetError("the client left")
    loop = asyncio.get_running_loop()
    if may_sendfile(transport, piece):
        with contextlib.suppress(asyncio.SendfileNotAvailableError):
            _check_length(await loop.sendfile(transport, piece.file, piece.offset, piece.length, fallback=False), piece)
            return piece.length
    copied = replace(piece, length=min(piece.length, _COPIED))
    chunk: bytes | bytearray | None = read_cached(copied)
    if chunk is None:
        chunk = await loop.run_in_executor(None, os.pread, piece.file.fileno(), copied.length, copied.offset)
    else:
        await asyncio.sleep(0)  # a client that takes all at once lets others have their turn
    if not chunk:
        raise OSError(errno.EIO, SHORTER)
    await writer.write(chunk)
    return len(chunk)


def _check_length(count: int, piece: Extent) -> None:
    if count != piece.length:
        raise OSError(errno.EIO, SHORTER)
