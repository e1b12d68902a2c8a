"""A member of a fleet that has the key, and answers as it is told to."""

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass

from regproxy.peers.keys import ANSWER, REQUEST, FleetKeys, Sealed
from regproxy.peers.names import PING
from regproxy.peers.pieces.trailer import FIELD
from regproxy.peers.reply import BYTES, OUTCOME, PENDING, ZONE
from tests.fakes.fleet import KEY
from tests.fakes.listener import Listener


@dataclass(frozen=True, slots=True)
class Asked:
    """A request for bytes *start* to *stop* of a blob, and what seals its answer."""

    start: int
    stop: int
    sealed: Sealed

    def head(self, outcome: str, status: int = 200, part: str = "", *lines: str) -> bytes:
        """Write the head of an answer, with its MAC."""
        said = [f"Content-Range: {part}"] if part else []
        fields = [f"{OUTCOME}: {outcome}", f"{ANSWER}: {self.sealed.mac(str(status), outcome, part)}", *said, *lines]
        return "\r\n".join([f"HTTP/1.1 {status} OK", *fields, "", ""]).encode()

    def bytes_of(self, blob: bytes, size: int | None = None, trailer: bytes = b"") -> bytes:
        """Write an answer that has the bytes of *blob* that are asked for, said to be *size* bytes long, and a *trailer*."""
        size = len(blob) if size is None else size
        stop = min(self.stop, size)
        body = blob[self.start : stop]
        lines = [f"Content-Length: {stop - self.start + len(trailer)}", *([f"{FIELD}: 1"] if trailer else [])]
        return self.head(BYTES, 206, f"bytes {self.start}-{stop - 1}/{size}", *lines) + body + trailer

    def says(self, text: str, before: bytes = b"") -> bytes:
        """Write an answer that says *text* where others say what comes."""
        line = before + json.dumps({"said": text, "mac": self.sealed.mac(text)}).encode() + b"\n"
        return self.head(PENDING, 200, "", f"Content-Length: {len(line)}") + line


class Member(Listener):
    """Answers each request for a piece with what *answered* makes of it, and says that it lives; where it *hangs up*, it ends there.

    Where it *drips*, it goes on with a zero a second. It sends *rate* bytes a second, if that is said.
    """

    def __init__(
        self,
        answered: Callable[[Asked], bytes],
        *,
        hangs_up: bool = False,
        lives: bool = True,
        zone: str = "",
        drips: bool = False,
        rate: float | None = None,
    ) -> None:
        super().__init__()
        self._rate = rate
        self._drips = drips
        self.asked: list[Asked] = []
        self._answered = answered
        self._hangs_up = hangs_up
        self._lives = lives
        self._zone = zone
        self._keys = FleetKeys(KEY, time.time)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            method, target, _ = head[0].split(" ")
            fields = dict(line.split(": ", 1) for line in head[1:] if line)
            sealed = self._keys.opened(fields[REQUEST], method, fields["Host"], target, range_ := fields.get("Range", ""))
            if target == PING:
                writer.write(Asked(0, 0, sealed).head(BYTES, 200, "", "Content-Length: 0", *self._located(sealed)) if self._lives else b"")
                continue
            first, _, last = range_.removeprefix("bytes=").partition("-")
            self.asked.append(asked := Asked(int(first), int(last) + 1, sealed))
            await self._sent(writer, self._answered(asked))
            while self._drips:
                await asyncio.sleep(1.0)
                writer.write(b"\0")
                await writer.drain()
            if self._hangs_up:
                return

    async def _sent(self, writer: asyncio.StreamWriter, answer: bytes) -> None:
        tick = len(answer) if self._rate is None else int(self._rate / 20)
        for start in range(0, len(answer), max(tick, 1)):
            writer.write(answer[start : start + tick])
            await writer.drain()
            if self._rate is not None:
                await asyncio.sleep(0.05)

    def _located(self, sealed: Sealed) -> list[str]:
        """Write in which zone it is: with a MAC of its own, unless one is there already."""
        zone, _, mac = self._zone.partition(" ")
        return [f"{ZONE}: {zone} {mac or sealed.mac(ZONE, zone)}"] if zone else []
