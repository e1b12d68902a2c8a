"""A blob's bytes as one host sends them (port BlobBody), timed."""

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace

import aiohttp

from regproxy import metrics
from regproxy.config import Timeouts
from regproxy.oci.byterange import parse_content_range
from regproxy.oci.digest import Digest
from regproxy.oci.reference import Repository
from regproxy.ports import Corrupt, Unavailable, UpstreamError
from regproxy.upstream.connections import Pool
from regproxy.upstream.health import Health
from regproxy.upstream.host import HostClient, Question


class HostBody:
    """An answer whose headers have arrived."""

    def __init__(self, response: aiohttp.ClientResponse, client: HostClient, health: Health, timeouts: Timeouts) -> None:
        """Take an answer; raise `Corrupt` for a range that makes no sense."""
        self._response = response
        self._client = client
        self._health = health
        self._timeouts = timeouts
        self._held = AsyncExitStack()
        self.start, self.stop, self.size = _place(response, str(client.host))

    def __str__(self) -> str:
        return str(self._client.host)

    async def chunks(self) -> AsyncIterator[bytes]:
        received = metrics.UPSTREAM_BYTES.labels(self._client.upstream, str(self._client.host))
        count, waited, watch = 0, 0.0, _Watch(self._timeouts)
        try:
            with self._client.connections.translated(self._response.url):
                content = self._response.content
                while True:
                    before = time.monotonic()
                    if not (chunk := await content.readany()):
                        break
                    seconds = time.monotonic() - before
                    if watch.is_too_slow(len(chunk), seconds):
                        raise Unavailable(f"{self} sends less than {self._timeouts.least_rate} bytes per second", timed_out=True)
                    count, waited = count + len(chunk), waited + seconds
                    received.inc(len(chunk))
                    yield chunk
            if self.stop is not None and count < self.stop - self.start:
                raise Unavailable(f"{self} stopped after {count} of {self.stop - self.start} bytes")
        except UpstreamError as error:
            self._health.failed(self._client.host, error)
            raise
        finally:
            if count >= _TELLING:
                self._health.sent(self._client.host, count, waited)

    def reject(self) -> None:
        self._health.failed(self._client.host, Corrupt(f"{self} sent wrong bytes"))

    def suspect(self) -> None:
        self._health.failed(self._client.host, Unavailable(f"{self} may have sent wrong bytes"))

    def hold(self, connection: AsyncExitStack) -> None:
        """Own the connection until `close`."""
        self._held = connection

    async def close(self) -> None:
        await self._held.aclose()


_TELLING = 256 * 1024  # bytes; what a shorter body took says more about luck than about the host


class _Watch:
    """Looks at the rate once in a window of waiting; time that we take ourselves does not count."""

    def __init__(self, timeouts: Timeouts) -> None:
        self._timeouts = timeouts
        self._count, self._seconds = 0, 0.0

    def is_too_slow(self, count: int, seconds: float) -> bool:
        self._count += count
        self._seconds += seconds
        if self._seconds < self._timeouts.trickle:
            return False
        is_slow = self._count < self._timeouts.least_rate * self._seconds
        self._count, self._seconds = 0, 0.0
        return is_slow


async def open_body(
    client: HostClient, health: Health, timeouts: Timeouts, repository: Repository, digest: Digest, start: int, stop: int | None
) -> HostBody:
    """Ask one host for a part of a blob; raise `UpstreamError`."""
    wanted = {} if (start, stop) == (0, None) else {"Range": f"bytes={start}-{'' if stop is None else stop - 1}"}
    question = Question("GET", repository.name, f"blobs/{digest}", Pool.BLOB, wanted)
    async with AsyncExitStack() as stack:
        response = await stack.enter_async_context(client.ask(question))
        if response.status == 416 and start == 0:  # nothing of an empty blob can be named
            response = await stack.enter_async_context(client.ask(replace(question, headers={})))
        if response.status not in {200, 206}:
            raise Unavailable(f"{client.host} answered {response.status} to a request for {digest} from {start} on")
        body = HostBody(response, client, health, timeouts)
        if wanted:
            health.ranged(client.host, honoured=response.status == 206)
        if response.status == 206 and body.start != start:
            raise Corrupt(f"{client.host} was asked for {digest} from {start} on and sent it from {body.start} on")
        body.hold(stack.pop_all())
    return body


def _place(response: aiohttp.ClientResponse, host: str) -> tuple[int, int | None, int | None]:
    """Read from where to where in the blob the body goes, and how long the blob is."""
    if response.status == 200:
        return 0, response.content_length, response.content_length
    header = response.headers.get("Content-Range", "")
    part = parse_content_range(header)
    if part is None:
        raise Corrupt(f"{host} sent a part without saying which: {header[:80]!r}")
    return part.start, part.stop, part.size
