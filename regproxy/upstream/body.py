"""A blob's bytes as one host sends them (port BlobBody), timed."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial

import aiohttp

from regproxy.config import Timeouts
from regproxy.oci.digest import Digest
from regproxy.oci.http.byterange import parse_complete_length, parse_content_range
from regproxy.oci.reference import Repository
from regproxy.policy.routing import Trust
from regproxy.policy.upstream.throughput import Throughput, slow_timeout
from regproxy.ports import Corrupt, Unavailable, UpstreamError
from regproxy.telemetry import metrics
from regproxy.upstream.aiohttp_parts import read_any
from regproxy.upstream.body_protocol import AHEAD, BodyProtocol, flow_of
from regproxy.upstream.connections import Pool
from regproxy.upstream.health import Health
from regproxy.upstream.host import HostClient
from regproxy.upstream.request import HostRequest


class HostBody:
    """An answer whose headers have arrived."""

    def __init__(self, response: aiohttp.ClientResponse, client: HostClient, health: Health, timeouts: Timeouts, digest: Digest) -> None:
        """Read the body of *response*, part of *digest*; raise `Unavailable` for an impossible range."""
        self._digest = digest
        self._response = response
        self._client = client
        self._health = health
        self._timeouts = timeouts
        self._held = AsyncExitStack()
        self._flow: BodyProtocol | None = None
        self.start, self.stop, self.size = _place(response, str(client.host))

    def __str__(self) -> str:
        return str(self._client.host)

    async def chunks(self, ahead: int | None = None) -> AsyncGenerator[bytes, None]:
        if self.stop == self.start:
            return  # what a 416 carries is about the request
        received = metrics.UPSTREAM_BYTES.labels(*self._client.labels)
        count, pace = 0, Throughput(self._timeouts.min_rate)
        try:
            with self._client.connections.translated(self._response.url):
                flow = self._flow = flow_of(self._response, ahead or AHEAD)
                read = partial(read_any, self._response.content) if flow is None else flow.read
                while chunk := await self._next(read, pace):
                    received.inc(len(chunk))
                    if (line := self._client.line) is None:
                        count += len(chunk)
                        yield chunk
                        continue
                    for part in line.parts(chunk):
                        await line.pay(self._digest, len(part), count)
                        count += len(part)
                        yield part
            if self.stop is not None and count < self.stop - self.start:
                raise Unavailable(f"{self} stopped after {count} of {self.stop - self.start} bytes")
        except UpstreamError as error:
            self._charge(error)
            raise
        finally:
            if pace.count >= _TELLING:
                self._health.sent(self._client.host, pace.count, pace.seconds)

    async def _next(self, read: Callable[[], Awaitable[bytes]], pace: Throughput) -> bytes:
        """Wait for more, and return how fast it comes; raise `Unavailable` for a trickle."""
        began, chunk = time.monotonic(), b""
        try:
            async with asyncio.timeout(self._timeouts.silence):
                chunk = await read()
        finally:
            pace.received(len(chunk), time.monotonic() - began)
            if pace.is_over:
                self._health.sent(self._client.host, pace.count, pace.seconds)
                pace.look()
        if chunk and pace.slow_for and pace.slow_for >= self._slow_timeout():
            raise Unavailable(f"{self} sends less than {self._timeouts.min_rate} bytes per second", timed_out=True)
        return chunk

    def _slow_timeout(self) -> float:
        return slow_timeout(self._timeouts.slow_for, has_others=self._health.has_others(self._client.host))

    @property
    def is_untrusted(self) -> bool:
        host = self._client.host
        return Trust.RESOLVE not in host.trust and not self._health[host].is_proven

    def pause(self) -> None:
        if self._flow is not None:
            self._flow.pause()

    def confirm(self) -> None:
        self._health.proven(self._client.host)

    def reject(self) -> None:
        self._charge(Corrupt(f"{self} sent wrong bytes"))

    def suspect(self) -> None:
        self._charge(Unavailable(f"{self} may have sent wrong bytes"))

    def _charge(self, error: UpstreamError) -> None:
        """Hold it against the origin that the bytes came from."""
        error.origin = self._client.elsewhere(self._response.url)
        self._health.failed(self._client.host, error)

    def hold(self, connection: AsyncExitStack) -> None:
        """Own the connection until `close`."""
        self._held = connection

    async def close(self) -> None:
        """Release the connection, or close it where the rest of the body is not wanted."""
        if not self._response.content.at_eof():
            self._response.close()
        await self._held.aclose()


_TELLING = 256 * 1024  # bytes; what fewer took says more about luck than about the host


async def open_body(
    client: HostClient, health: Health, timeouts: Timeouts, repository: Repository, digest: Digest, start: int, stop: int | None
) -> HostBody:
    """Ask one host for a part of a blob; raise `UpstreamError`."""
    wanted = {} if (start, stop) == (0, None) else {"Range": f"bytes={start}-{'' if stop is None else stop - 1}"}
    request = HostRequest("GET", repository.name, f"blobs/{digest}", Pool.BLOB, wanted, is_verified=True)
    async with AsyncExitStack() as stack:
        response = await stack.enter_async_context(client.ask(request))
        if response.status == 416 and start == 0:  # nothing of an empty blob can be named
            response = await stack.enter_async_context(client.ask(replace(request, headers={})))
        if response.status not in {200, 206} and not _ends_at(response, start):
            message = f"{client.host} answered {response.status} to a request for {digest} from {start} on"
            error = Unavailable(message, answered=response.status == 416)
            error.is_behind_the_end = response.status == 416 and start > 0
            raise error
        body = HostBody(response, client, health, timeouts, digest)
        health.led(client.host, client.elsewhere(response.url))
        if wanted:
            health.ranged(client.host, honoured=response.status != 200)
        if response.status == 206 and body.start != start:
            raise Unavailable(f"{client.host} was asked for {digest} from {start} on and sent it from {body.start} on")
        body.hold(stack.pop_all())
    return body


def _place(response: aiohttp.ClientResponse, host: str) -> tuple[int, int | None, int | None]:
    """Read from where to where in the blob the body goes, and how long the blob is."""
    if response.status == 200:
        return 0, response.content_length, response.content_length
    header = response.headers.get("Content-Range", "")
    if response.status == 416 and (size := parse_complete_length(header)) is not None:
        return size, size, size
    part = parse_content_range(header)
    if part is None:
        raise Unavailable(f"{host} sent a part without saying which: {header[:80]!r}")
    return part.start, part.stop, part.size


def _ends_at(response: aiohttp.ClientResponse, start: int) -> bool:
    """Whether a 416 means that the blob ends at *start*: the host that sent what is before it named no length, and did not end."""
    return response.status == 416 and start > 0 and parse_complete_length(response.headers.get("Content-Range")) == start
