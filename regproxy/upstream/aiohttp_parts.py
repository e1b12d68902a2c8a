"""What is used of aiohttp's client beside its documented API: all of it is here, for the pinned minor version."""

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection

_GONE = "Connection closed."  # what aiohttp says of a body that is read after its connection
_NOT_CONNECTED = "Connect call failed"  # what asyncio says of an address, whatever the reason


class PeerResponse(aiohttp.ClientResponse):
    """An answer that knows which address it came from; its connection may belong to another request by the time one asks."""

    peer: str | None = None

    async def start(self, connection: Connection) -> aiohttp.ClientResponse:
        transport = connection.transport
        found = transport.get_extra_info("peername") if transport is not None else None
        self.peer = found[0] if found else None
        return await super().start(connection)


@dataclass(frozen=True, slots=True)
class BodyConnection:
    """The connection of an answer whose body of *length* bytes is being received, to be taken from aiohttp and given back."""

    transport: asyncio.Transport
    length: int
    _answers: ResponseHandler
    _content: aiohttp.StreamReader

    def received(self) -> Iterator[bytes]:
        """Take what aiohttp has received of the body so far."""
        while begun := self._content.read_nowait():
            yield begun

    def take(self, protocol: asyncio.Protocol, chunk_bytes: int) -> None:
        """Have *protocol* receive the rest, in chunks of at most *chunk_bytes*; what the parser had kept to itself may have been all."""
        if not self._content.is_eof():
            self.transport.max_size = chunk_bytes  # type: ignore[attr-defined]  # asyncio's own, for want of an argument; others do not read it
            self.transport.set_protocol(protocol)

    def give_back(self) -> None:
        """Let aiohttp use the connection for the next request: for it, the body was read."""
        self.transport.set_protocol(self._answers)
        self._content.feed_eof()

    def close_after(self) -> None:
        """Have aiohttp close the connection instead of using it again."""
        self._answers.force_close()

    def lost(self, error: Exception | None) -> None:
        """Tell aiohttp that the connection was closed."""
        self._answers.connection_lost(error)


def body_connection(response: aiohttp.ClientResponse) -> BodyConnection | None:
    """Return the connection of a body; None where its length is unknown, or all of it was received."""
    connection, length = response.connection, response.content_length
    if connection is None or connection.protocol is None or length is None or "Transfer-Encoding" in response.headers:
        return None
    transport = connection.transport
    if transport is None or transport.is_closing() or response.content.is_eof():
        return None
    return BodyConnection(transport, length, connection.protocol, response.content)


@contextmanager
def broken_off() -> Iterator[None]:
    """Raise `aiohttp.ServerDisconnectedError` where a body is read whose connection is gone, and has left no error.

    aiohttp calls it a mistake of ours to read on (`StreamReader._wait`).
    """
    try:
        yield
    except RuntimeError as error:
        if str(error) != _GONE:
            raise
        raise aiohttp.ServerDisconnectedError from error


def no_connection(error: aiohttp.ClientConnectorError) -> str:
    """Return why there is no connection: asyncio puts the address where the reason belongs (`BaseEventLoop._connect_sock`)."""
    cause = error.os_error
    told = cause.strerror or str(cause)
    return os.strerror(cause.errno) if cause.errno and told.startswith(_NOT_CONNECTED) else told


async def read_any(content: aiohttp.StreamReader) -> bytes:
    """Read what has come, and only then tell that the connection broke: aiohttp tells that first, and keeps the rest to itself."""
    try:
        return await content.readany()
    except (aiohttp.ClientError, OSError) as error:
        content.set_exception(None)  # type: ignore[arg-type]
        rest = content.read_nowait()
        content.set_exception(error)
        if rest:
            return rest
        raise
