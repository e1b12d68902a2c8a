"""Bytes of a file to a client: by sendfile where the kernel will do it, by reading elsewhere (TLS)."""

import asyncio
import contextlib
import errno
import os
import resource
from collections.abc import Awaitable
from dataclasses import replace

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from regproxy.ports import Extent
from regproxy.web.buffered import SHORTER, may_sendfile, read_cached, send_now
from regproxy.web.clients.metering import Meter, meter

_STRIDE = 1024 * 1024
_COPIED = 256 * 1024  # bytes read at once: a client that reads slowly keeps them in memory
_DUPLICATED = 0.75  # of all descriptors there may be, which are numbered from 0: beyond it there is none for a second one of a client
SMALL = 256 * 1024  # bytes sent without a look at other clients, in a tenth of a millisecond


def send_extent(request: web.BaseRequest, writer: AbstractStreamWriter, extent: Extent) -> Awaitable[None]:
    """Send bytes of a file behind what was written before, as fast as the client's quota allows; raise `OSError`."""
    paying = meter.get()
    return _send(request, writer, extent) if paying is None else _send_paid(request, writer, extent, paying)


async def _send_paid(request: web.BaseRequest, writer: AbstractStreamWriter, extent: Extent, paying: Meter) -> None:
    for start in range(0, extent.length, paying.piece):
        piece = replace(extent, offset=extent.offset + start, length=min(paying.piece, extent.length - start))
        await paying.take(piece.length)
        await _send(request, writer, piece)


async def _send(request: web.BaseRequest, writer: AbstractStreamWriter, extent: Extent) -> None:
    sent = _taken_at_once(request, extent) if extent.length <= SMALL else 0
    while sent < extent.length:
        sent += await _send_some(request, writer, replace(extent, offset=extent.offset + sent, length=extent.length - sent))


def _taken_at_once(request: web.BaseRequest, extent: Extent) -> int:
    """Send what the socket takes without waiting, if sendfile will do, and return how many bytes."""
    if request.transport is None or not may_sendfile(request.transport, extent):
        return 0
    try:
        return send_now(request.transport, extent)
    except OSError:
        return 0  # the long way finds out why


async def _send_some(request: web.BaseRequest, writer: AbstractStreamWriter, extent: Extent) -> int:
    """Send it by sendfile, or some of it by reading where that does not do (TLS), and return how much.

    Raise `OSError` where the file cannot be read or is shorter. sendfile says the same of a file system that lacks it, and of a disk that
    fails; reading finds out which.
    """
    transport = request.transport
    if transport is None or transport.is_closing():
        raise ConnectionResetError("the client left")
    if may_sendfile(transport, extent) and (sent := await _send_as_taken(transport, extent)):
        return sent
    copied = replace(extent, length=min(extent.length, _COPIED))
    chunk: bytes | bytearray | None = read_cached(copied)
    if chunk is None:
        chunk = await asyncio.get_running_loop().run_in_executor(None, os.pread, extent.file.fileno(), copied.length, copied.offset)
    else:
        await asyncio.sleep(0)  # a client that takes all at once lets others have their turn
    if not chunk:
        raise OSError(errno.EIO, SHORTER)
    await writer.write(chunk)
    return len(chunk)


async def _send_as_taken(transport: asyncio.Transport, extent: Extent) -> int:
    """Send by sendfile, a stride in each turn of the event loop in which the socket takes more; return how much, less than all if it fails.

    asyncio's own sendfile tells epoll four times for each stride what it was told before. Raise `ConnectionError` where the client left.
    """
    loop = asyncio.get_running_loop()
    if transport.get_write_buffer_size() or (socket := _watchable(transport)) is None:  # its own waits for what was written before
        with contextlib.suppress(asyncio.SendfileNotAvailableError):
            return await loop.sendfile(transport, extent.file, extent.offset, min(extent.length, _STRIDE), fallback=False)
        return 0
    sent = 0
    done: asyncio.Future[None] = loop.create_future()

    def send() -> None:
        nonlocal sent
        if done.done():
            return  # it was cancelled in this turn
        try:
            count = os.sendfile(socket, extent.file.fileno(), extent.offset + sent, min(extent.length - sent, _STRIDE))
        except BlockingIOError:
            return
        except ConnectionError as error:
            loop.remove_writer(socket)
            done.set_exception(error)
            return
        except OSError:
            count = 0  # whoever goes on finds out why
        sent += count
        if not count or sent == extent.length:
            loop.remove_writer(socket)
            done.set_result(None)

    is_reading = transport.is_reading()
    transport.pause_reading()
    try:
        loop.add_writer(socket, send)
        await done
    finally:
        loop.remove_writer(socket)
        os.close(socket)
        if is_reading:
            transport.resume_reading()
    return sent


def _watchable(transport: asyncio.Transport) -> int | None:
    """Duplicate the socket's descriptor, for asyncio lets nobody watch one that a transport has; None where new clients need those left."""
    try:
        descriptor = os.dup(transport.get_extra_info("socket").fileno())
    except OSError:
        return None
    if descriptor < resource.getrlimit(resource.RLIMIT_NOFILE)[0] * _DUPLICATED:
        return descriptor
    os.close(descriptor)
    return None
