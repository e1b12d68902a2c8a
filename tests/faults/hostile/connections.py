"""How hostile clients treat their connections, and how what they were sent is judged."""

import asyncio
import random
import re
import socket
import struct
from collections.abc import Sequence
from contextlib import suppress

from tests.faults.hostile.requests import Request
from tests.faults.hostile.run import Run
from tests.faults.hostile.world import CLAIMED, marks_in
from tests.rig import LOOPBACK

_QUIET = 1.0  # seconds without a byte: a hostile client has better things to do
_LAST = b"GET /nothing HTTP/1.1\r\nHost: proxy\r\nConnection: close\r\n\r\n"
_CLAIM = b"Content-Length: %d" % CLAIMED
_HEAD = re.compile(rb"(?=HTTP/1\.[01] \d{3} )")
_MOST = 8_000_000  # bytes that are read of a connection
_AROUND = 1000  # bytes that are shown before and behind what may not be told
_HELD = 1.0  # seconds for which a client that does not read stays


class Connection:
    """One hostile client's connection, from an address of its own."""

    def __init__(self, port: int, chance: random.Random, address: str | None = None) -> None:
        self._port = port
        self._address = address or f"127.0.1.{chance.randint(1, 250)}"
        self._chance = chance
        self.received = bytearray()

    async def ask(self, requests: Sequence[Request]) -> bytes:
        """Send the requests in some manner, and give what came."""
        sent = b"".join(request.raw for request in requests) + _LAST
        manner = self._chance.choice(
            (self._plainly, self._plainly, self._slowly, self._half_closed, self._without_reading, self._cut_off, self._reset)
        )
        with suppress(OSError, TimeoutError):
            reader, writer = await asyncio.open_connection(LOOPBACK, self._port, local_addr=(self._address, 0))
            try:
                await manner(reader, writer, sent)
            finally:
                writer.transport.abort()
        return bytes(self.received)

    async def _plainly(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, sent: bytes) -> None:
        writer.write(sent)
        await self._read(reader)

    async def _slowly(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, sent: bytes) -> None:
        cuts = sorted(self._chance.randrange(len(sent) + 1) for _ in range(self._chance.randint(1, 6)))
        for start, stop in zip([0, *cuts], [*cuts, len(sent)], strict=True):
            writer.write(sent[start:stop])
            await asyncio.sleep(self._chance.uniform(0, 0.02))
        await self._read(reader)

    async def _half_closed(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, sent: bytes) -> None:
        writer.write(sent)
        writer.write_eof()
        await self._read(reader)

    async def _without_reading(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, sent: bytes) -> None:
        """Ask many times and take nothing."""
        reader._transport.pause_reading()  # type: ignore[attr-defined]  # the kernel's buffer is the limit, not ours
        for _ in range(self._chance.randint(1, 20)):
            writer.write(sent)
        await asyncio.sleep(self._chance.uniform(0, _HELD))

    async def _cut_off(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, sent: bytes) -> None:
        """Leave a request unfinished, and stay or go."""
        writer.write(sent[: self._chance.randrange(len(sent))])
        if self._chance.random() < 0.5:
            writer.write_eof()
        await self._read(reader)

    async def _reset(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, sent: bytes) -> None:
        """Leave with a reset, after some bytes of the answer or before any."""
        writer.write(sent)
        if self._chance.random() < 0.7:
            async with asyncio.timeout(_QUIET):
                self.received += await reader.read(self._chance.choice((1, 100, 10_000, 500_000)))
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    async def _read(self, reader: asyncio.StreamReader) -> None:
        while len(self.received) < _MOST:
            async with asyncio.timeout(_QUIET):
                part = await reader.read(1 << 18)
            if not part:
                return
            self.received += part


def judge(run: Run, requests: Sequence[Request], received: bytes) -> None:
    """Report what the answers to *requests* on one connection tell that they may not."""
    allowed = {mark for request in requests if request.allowed for mark in request.allowed.marks}
    if told := marks_in(received) - allowed:
        at = min(received.index(mark) for mark in told)
        answer = received[max(0, at - _AROUND) : at + _AROUND]
        everything = " | ".join(repr(request.raw[:400]) for request in requests)
        run.found("private bytes were told", f"{sorted(told)[:3]} {everything} -> {answer!r}")
    statuses = [head[9:12] for head in _heads(received) if _CLAIM not in head]
    if b"500" in statuses:
        run.found("a request made an error of ours", f"{_shown(requests)} -> {received[:300]!r}")
    if any(request.allowed for request in requests) or any(request.kind == "referrers" for request in requests):
        return
    if wrong := [status for status in statuses if status[:1] == b"2" or status == b"304"]:
        run.found("what is refused was answered", f"{wrong[:5]} {_shown(requests)} -> {received[:300]!r}")


def _heads(received: bytes) -> list[bytes]:
    """Find the heads of answers that came whole; no content of ours looks like one."""
    return [part.partition(b"\r\n\r\n")[0] for part in _HEAD.split(received)[1:] if b"\r\n\r\n" in part]


def _shown(requests: Sequence[Request]) -> str:
    return " | ".join(repr(request.raw[:400]) for request in requests[:4])
