"""What a fake server can be told to do wrong.

Several deeds can be given at once: each first waits (`before`), then changes the reply (`change`), in the order given. Positions are
bytes of the body of that response, so of the part that is sent where a range was asked for. Of several deliveries the last one wins.
A response to HEAD has no body: of deeds that are about the body it only shows the headers.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from tests.fakes.entry import Entry
from tests.fakes.reply import Framing, Reply
from tests.fakes.wire import Wire

_TICK = 0.02  # seconds between two pieces of a paced body


class Deed:
    """Something done to a response; this one does nothing."""

    async def before(self, wire: Wire) -> None:
        """Act before the first header."""

    def change(self, reply: Reply, entry: Entry) -> Reply:  # noqa: ARG002
        return reply


class Delivered(Deed):
    """A deed about how the body leaves."""

    def change(self, reply: Reply, entry: Entry) -> Reply:  # noqa: ARG002
        return replace(reply, delivery=self.send)

    async def send(self, wire: Wire, body: bytes) -> None:
        raise NotImplementedError


@dataclass(frozen=True)
class Status(Deed):
    """Answer with another status, and nothing of the real answer."""

    code: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    def change(self, reply: Reply, entry: Entry) -> Reply:  # noqa: ARG002
        return Reply(self.code, tuple(self.headers.items()), self.body)


@dataclass
class Counted(Deed):
    """Let so many requests pass, and refuse the others, as Docker Hub does: each response says how many are left."""

    limit: int
    window: int = 21_600  # seconds
    asked: int = 0

    @property
    def left(self) -> int:
        return max(0, self.limit - self.asked)

    def change(self, reply: Reply, entry: Entry) -> Reply:  # noqa: ARG002
        self.asked += 1
        counts = {"ratelimit-limit": self.limit, "ratelimit-remaining": self.left}
        told = tuple((name, f"{count};w={self.window}") for name, count in counts.items())
        if self.asked > self.limit:
            return Reply(429, told)
        return replace(reply, headers=(*reply.headers, *told))


@dataclass(frozen=True)
class Redirect(Deed):
    """Send the client elsewhere; *location* goes out as it is."""

    location: str | Callable[[Entry], str]
    status: int = 307

    def change(self, reply: Reply, entry: Entry) -> Reply:  # noqa: ARG002
        return Reply(self.status, (("Location", self.location if isinstance(self.location, str) else self.location(entry)),))


@dataclass(frozen=True)
class Hold(Deed):
    """Wait before the headers until *event*; *reached* tells that a request waits."""

    event: asyncio.Event = field(default_factory=asyncio.Event)
    reached: asyncio.Event = field(default_factory=asyncio.Event)

    async def before(self, wire: Wire) -> None:  # noqa: ARG002
        self.reached.set()
        await self.event.wait()


@dataclass(frozen=True)
class Delay(Deed):
    """Wait some seconds before the headers; for benchmarks, and where only a clock will do."""

    seconds: float

    async def before(self, wire: Wire) -> None:  # noqa: ARG002
        await asyncio.sleep(self.seconds)


@dataclass(frozen=True)
class Drop(Deed):
    """End the connection instead of answering."""

    rst: bool = False

    async def before(self, wire: Wire) -> None:
        if self.rst:
            await wire.reset()
        else:
            wire.fin()


@dataclass(frozen=True)
class Cut(Delivered):
    """Promise the whole body and end the connection with FIN after *at* bytes.

    Past the end of the body it is a keep-alive that ends without a word.
    """

    at: int

    async def send(self, wire: Wire, body: bytes) -> None:
        await wire.body(body[: self.at])
        wire.fin()


@dataclass(frozen=True)
class CutShare(Delivered):
    """Promise the whole body and end the connection with FIN after a *share* of it, a byte at least."""

    share: float

    async def send(self, wire: Wire, body: bytes) -> None:
        await wire.body(body[: max(int(len(body) * self.share), 1)])
        wire.fin()


@dataclass(frozen=True)
class Reset(Delivered):
    """Promise the whole body and end the connection with RST after *at* bytes, which do arrive."""

    at: int

    async def send(self, wire: Wire, body: bytes) -> None:
        await wire.body(body[: self.at])
        await wire.reset()


@dataclass(frozen=True)
class Stall(Delivered):
    """Send *at* bytes, then nothing until *event*, then the rest; *reached* tells that the first part has left."""

    at: int
    event: asyncio.Event = field(default_factory=asyncio.Event)
    reached: asyncio.Event = field(default_factory=asyncio.Event)

    async def send(self, wire: Wire, body: bytes) -> None:
        await wire.body(body[: self.at])
        self.reached.set()
        await self.event.wait()
        await wire.body(body[self.at :])


@dataclass(frozen=True)
class Paced(Delivered):
    """Send the body at a rate."""

    bytes_per_second: float

    async def send(self, wire: Wire, body: bytes) -> None:
        piece = max(int(self.bytes_per_second * _TICK), 1)
        for start in range(0, len(body), piece):
            await wire.body(body[start : start + piece])
            await asyncio.sleep(piece / self.bytes_per_second)


class Trickle(Delivered):
    """Send a byte now and then, for ever."""

    async def send(self, wire: Wire, body: bytes) -> None:
        for byte in body[:-1]:
            await wire.body(bytes((byte,)))
            await asyncio.sleep(0.5)
        await asyncio.Event().wait()


@dataclass(frozen=True)
class Flood(Delivered):
    """Send *size* zero bytes that nobody holds in memory, promised unless `NoLength` or `Chunked` is given too."""

    size: int

    def change(self, reply: Reply, entry: Entry) -> Reply:  # noqa: ARG002
        return replace(reply, length=self.size, has_ranges=False, delivery=self.send)

    async def send(self, wire: Wire, body: bytes) -> None:  # noqa: ARG002
        zeros = bytes(1024 * 1024)
        for start in range(0, self.size, len(zeros)):
            await wire.body(zeros[: self.size - start])


@dataclass(frozen=True)
class Lie(Deed):
    """Send another body under the same headers; a function is given the true one."""

    body: bytes | Callable[[bytes], bytes]

    def change(self, reply: Reply, entry: Entry) -> Reply:  # noqa: ARG002
        return replace(reply, body=self.body if isinstance(self.body, bytes) else self.body(reply.body))


@dataclass(frozen=True)
class NoLength(Deed):
    """Send no Content-Length; the end of the connection ends the body, early where *at* says so, with RST if told."""

    at: int | None = None
    rst: bool = False

    def change(self, reply: Reply, entry: Entry) -> Reply:  # noqa: ARG002
        ended = replace(reply, framing=Framing.CLOSE)
        if self.at is None and not self.rst:
            return ended
        at = len(reply.body) if self.at is None else self.at
        ending: Delivered = Reset(at) if self.rst else Cut(at)
        return replace(ended, delivery=ending.send)


@dataclass(frozen=True)
class Chunked(Deed):
    """Send the body in chunks instead of with a Content-Length."""

    def change(self, reply: Reply, entry: Entry) -> Reply:  # noqa: ARG002
        return replace(reply, framing=Framing.CHUNKED)


@dataclass(frozen=True)
class ShortChunked(Delivered):
    """Send *at* bytes in chunks and end them properly, as if that were all."""

    at: int

    def change(self, reply: Reply, entry: Entry) -> Reply:  # noqa: ARG002
        return replace(reply, framing=Framing.CHUNKED, delivery=self.send)

    async def send(self, wire: Wire, body: bytes) -> None:
        await wire.body(body[: self.at])


@dataclass(frozen=True)
class Headers(Deed):
    """Replace headers of the response, whatever else was done to it; None takes one away, a list cache it."""

    values: Mapping[str, str | list[str] | None]

    def change(self, reply: Reply, entry: Entry) -> Reply:  # noqa: ARG002
        return replace(reply, overrides={**reply.overrides, **self.values})


@dataclass(frozen=True)
class NoRanges(Deed):
    """Answer a request for a range with the whole."""

    def change(self, reply: Reply, entry: Entry) -> Reply:  # noqa: ARG002
        return replace(reply, has_ranges=False)
