"""An HTTP proxy between us and a host: it wants a user, remembers what it was sent, and passes on what is meant for others."""

import asyncio
import base64
from dataclasses import dataclass

from yarl import URL

from tests.fakes.listener import Listener, closed

_PIECE = 64 * 1024
_OWN = frozenset({"proxy-authorization", "proxy-connection", "connection", "keep-alive"})  # RFC 9110, 7.6.1 and 11.7: for the proxy alone


@dataclass(frozen=True, slots=True)
class Proxied:
    """A request as it came to the proxy, header names in lower case; the target is an URL, or host:port of a CONNECT."""

    method: str
    target: str
    headers: dict[str, str]

    @property
    def place(self) -> str:
        """Give host:port of where it goes."""
        if self.method == "CONNECT":
            return self.target
        url = URL(self.target)
        return f"{url.host}:{url.port}"


class ForwardProxy(Listener):
    """Forwards for whoever knows *username* and *password*; where a name leads is in *names*: it has no other DNS."""

    def __init__(self) -> None:
        super().__init__()
        self.username = "user"
        self.password = "canary-proxy"
        self.realm = "proxy"
        self.names: dict[str, tuple[str, int]] = {}  # host:port -> where that is
        self.requests: list[Proxied] = []

    @property
    def configured(self) -> str:
        """Write the proxy as a configuration does."""
        return f"http://{self.username}:{self.password}@{self.host}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request, body = await _received(reader)
        self.requests.append(request)
        login = base64.b64encode(f"{self.username}:{self.password}".encode()).decode()
        if request.headers.get("proxy-authorization") != f"Basic {login}":
            refusal = f'HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm="{self.realm}"\r\n'
            writer.write(f"{refusal}Content-Length: 0\r\nConnection: close\r\n\r\n".encode())
            await writer.drain()
            return
        host, _, port = request.place.rpartition(":")
        far_reader, far_writer = await asyncio.open_connection(*self.names.get(request.place, (host, int(port))))
        passing: list[asyncio.Task[None]] = []
        try:
            if request.method == "CONNECT":
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                far_writer.write(_forwarded(request) + body)
            passing += [asyncio.create_task(_passed(*way)) for way in ((reader, far_writer), (far_reader, writer))]
            await asyncio.wait(passing, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in passing:
                task.cancel()
            await asyncio.gather(*passing, return_exceptions=True)
            far_writer.transport.abort()
            await closed(far_writer)


async def _received(reader: asyncio.StreamReader) -> tuple[Proxied, bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.rstrip("\r\n").split("\r\n")
    method, target, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return Proxied(method, target, headers), await reader.readexactly(int(headers.get("content-length", 0)))


def _forwarded(request: Proxied) -> bytes:
    """Write a request for its origin, which ends the connection: the next request is another one."""
    kept = [f"{name}: {value}" for name, value in request.headers.items() if name not in _OWN]
    path = URL(request.target, encoded=True).raw_path_qs
    return "\r\n".join([f"{request.method} {path} HTTP/1.1", *kept, "Connection: close", "", ""]).encode("latin-1")


async def _passed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while piece := await reader.read(_PIECE):
        writer.write(piece)
        await writer.drain()
