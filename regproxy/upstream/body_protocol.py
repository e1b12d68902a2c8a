"""The bytes of a body, straight from their connection.

What reads the heads of answers copies each byte of their bodies twice, on the loop, which takes longer than to receive it. Where the length
of a body is known, there is nothing in it to read.
"""

import asyncio
from collections import deque

import aiohttp

from regproxy.ports import detached
from regproxy.upstream.aiohttp_parts import BodyConnection, body_connection

AHEAD = 1024 * 1024  # bytes that wait to be taken, past which the host has to wait; as many are received by a call, if they are there:
# asyncio's own 256 KiB took a sixth longer for a blob from nearby


class BodyProtocol(asyncio.Protocol):
    """The rest of a body of known length, which takes the place of aiohttp's protocol until its end."""

    def __init__(self, connection: BodyConnection, ahead: int) -> None:
        """Take over the connection and the bytes received so far; at most about twice *ahead* bytes are buffered."""
        self._connection = connection
        self._transport = connection.transport
        self._left = connection.length
        self._ahead = ahead
        self._unread: deque[bytes] = deque()
        self._unread_bytes = 0
        self._error: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None
        for begun in connection.received():
            self._came(begun)
        connection.take(self, ahead)

    def data_received(self, data: bytes) -> None:
        if len(data) > self._left:
            self._connection.close_after()  # what came behind the end is an answer to nothing
            data = data[: self._left]
        self._came(data)
        if not self._left:
            self._connection.give_back()
        elif self._unread_bytes > self._ahead:
            self._transport.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self._error = exc or aiohttp.ClientPayloadError("the connection was closed")
        self._connection.lost(exc)
        self._wake()

    def pause(self) -> None:
        """Stop the host from sending until more is read."""
        if self._left:
            self._transport.pause_reading()

    async def read(self) -> bytes:
        """Wait for bytes, none at the end; raise `OSError` or `aiohttp.ClientError` where it does not come, after all that came."""
        while not self._unread and self._left:
            if self._error is not None:
                raise detached(self._error)
            self._transport.resume_reading()
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        if not self._unread:
            return b""
        chunk = self._unread.popleft()
        self._unread_bytes -= len(chunk)
        if self._left and self._unread_bytes <= self._ahead and not self._transport.is_reading():
            self._transport.resume_reading()
        return chunk

    def _came(self, data: bytes) -> None:
        self._left -= len(data)
        self._unread.append(data)
        self._unread_bytes += len(data)
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def flow_of(response: aiohttp.ClientResponse, ahead: int = AHEAD) -> BodyProtocol | None:
    """Take over the connection of a response; None where its length is unknown, or all of it was received."""
    connection = body_connection(response)
    return None if connection is None else BodyProtocol(connection, ahead)
