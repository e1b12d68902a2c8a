"""Servers that know bytes only: an attacker's listener, and an HTTP server for framing that no library would send."""

import asyncio
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from tests.fakes import endings
from tests.fakes.listener import Listener
from tests.fakes.relay import Relay

__all__ = ["Raw", "RawServer", "Relay", "Sink"]

_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)", re.IGNORECASE)
_PIECE = 64 * 1024


class Sink(Listener):
    """Takes whatever is sent to it and remembers it; says *answer* after each request head, or nothing at all."""

    def __init__(self, answer: bytes = b"", *, address: str = "127.0.0.1", port: int = 0) -> None:
        super().__init__(address=address, port=port)
        self.answer = answer
        self._received: list[bytearray] = []
        self._heard = asyncio.Event()

    @property
    def received(self) -> list[bytes]:
        """What came in, by connection."""
        return [bytes(received) for received in self._received]

    async def heard(self, text: bytes) -> None:
        """Wait until *text* has come in, on one connection."""
        while not any(text in received for received in self._received):
            await self._heard.wait()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received, answered = bytearray(), 0
        self._received.append(received)
        while part := await reader.read(_PIECE):
            received += part
            heard, self._heard = self._heard, asyncio.Event()
            heard.set()
            heads = received.count(b"\r\n\r\n")
            if self.answer and heads > answered:
                writer.write(self.answer * (heads - answered))
                answered = heads
                await writer.drain()


@dataclass(frozen=True, slots=True)
class Raw:
    """Bytes to answer with, and what follows: FIN, RST, the next request, or silence until the client leaves."""

    text: bytes
    ending: Literal["fin", "rst", "keep", "hang"] = "fin"


Answer: TypeAlias = Raw | bytes


class RawServer(Listener):
    """Answers requests with any bytes: a function of the request, or a list by the request's number whose last one repeats."""

    def __init__(self, script: Callable[[bytes], Answer] | Sequence[Answer], *, address: str = "127.0.0.1", port: int = 0) -> None:
        super().__init__(address=address, port=port)
        self.script = script
        self.requests: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while request := await _request(reader):
            self.requests.append(request)
            answer = self._answer(request)
            writer.write(answer.text)
            await writer.drain()
            if answer.ending == "rst":
                await endings.reset(writer.transport)
            elif answer.ending == "hang":
                await reader.read()
            if answer.ending != "keep":
                return

    def _answer(self, request: bytes) -> Raw:
        answer = self.script(request) if callable(self.script) else self.script[min(len(self.requests), len(self.script)) - 1]
        return answer if isinstance(answer, Raw) else Raw(answer)


async def _request(reader: asyncio.StreamReader) -> bytes:
    """Read one request with its body; nothing at the end of the connection."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        length = _LENGTH.search(head)
        return head + (await reader.readexactly(int(length[1])) if length else b"")
    except asyncio.IncompleteReadError as error:
        return error.partial
