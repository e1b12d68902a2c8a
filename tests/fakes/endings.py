"""How a TCP connection is ended on purpose."""

import asyncio
import fcntl
import socket
import struct
import termios

_LINGER_NONE = struct.pack("ii", 1, 0)  # SO_LINGER on, for zero seconds: close() sends RST
_POLL = 0.001


async def reset(transport: asyncio.WriteTransport) -> None:
    """End with RST, once the other side's kernel has acknowledged all that was written."""
    await flushed(transport)
    sock = transport.get_extra_info("socket")
    if sock is not None and not transport.is_closing():
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NONE)
    transport.abort()


async def flushed(transport: asyncio.WriteTransport) -> None:
    """Wait until nothing that was written is still on this side, or the connection is gone."""
    while not transport.is_closing() and (transport.get_write_buffer_size() or _unacknowledged(transport)):  # noqa: ASYNC110 -- the kernel has no event for it
        await asyncio.sleep(_POLL)


def _unacknowledged(transport: asyncio.WriteTransport) -> int:
    sock = transport.get_extra_info("socket")
    found = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4))
    return int.from_bytes(found, "little")
