"""What members answer: the fields and outcomes, a piece as it comes, and what goes wrong."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError

from regproxy.oci.http.byterange import parse_content_range
from regproxy.peers.keys import NotOursError, Sealed
from regproxy.peers.pieces.trailer import FIELD, LENGTH, Trailer
from regproxy.ports import decoded_error
from regproxy.upstream.body_protocol import BodyProtocol, flow_of

OUTCOME = "Regproxy-Peer"  # a field of answers: one of those below
DECISIONS = "Regproxy-Decisions"  # likewise: the version of what operators decided; where that is asked for, the MAC of its hash
ZONE = "Regproxy-Zone"  # a field of answers to who asks whether we live: the zone, and its MAC
BYTES = "bytes"  # they come, and Content-Range says which
PENDING = "pending"  # they come after a line that says which, as JSON, or what upstream said instead
BUSY = "busy"  # enough others are sent this piece
FAILED = "failed"  # it cannot be brought, through no word of upstream
BEAT = b" "  # before that line, again and again: the member is at work on the piece
MISDIRECTED = "misdirected"  # the member is not called what it was asked as
_MAX_LINE = 16 * 1024  # bytes of what upstream said


class BusyError(Exception):
    """The member has enough to do; another one is to be asked."""


class LateError(Exception):
    """The member is much slower than others, and there is another one."""


class StalledError(Exception):
    """The member has begun, and sends nothing more; where it *has_waited*, it said before that it was at work."""

    def __init__(self, *, has_waited: bool) -> None:
        super().__init__("it stopped in the middle")
        self.has_waited = has_waited


class PeerError(Exception):
    """The member did not serve; *is_suspect* where it may be dead, or none of ours."""

    def __init__(self, reason: str, *, is_suspect: bool = True) -> None:
        super().__init__(reason)
        self.is_suspect = is_suspect


class Reply:
    """A piece, or the rest of one, as a member sends it."""

    def __init__(self, response: aiohttp.ClientResponse, sealed: Sealed, start: int) -> None:
        """Read an answer whose head is right."""
        self._response = response
        self._sealed = sealed
        self._start = start
        self._left = 0  # bytes to come
        self._behind = b""  # came behind them
        self._flow: BodyProtocol | None = None

    async def head(self, beat: Callable[[], None] = lambda: None) -> tuple[int, int]:
        """Wait until the member has something to send; return how long the blob is, and where in it what is sent ends.

        Call *beat* each time that it says that it is at work. Raise `UpstreamError` where upstream said something else, `PeerError` where
        the piece does not come.
        """
        content_range = self._response.headers.get("Content-Range")
        if self._response.headers.get(OUTCOME) == PENDING:
            content_range = await self._line(beat)
        part = parse_content_range(content_range)
        if part is None or part.start != self._start:
            raise PeerError("it sent another part than was asked for")
        self._left = part.stop - part.start
        return part.size, part.stop

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the bytes; raise `PeerError` where they end short, as they do where the member's own source fails."""
        try:
            self._flow = flow_of(self._response) if self._response.content_length is not None else None
            while self._left:
                chunk = await self._read()
                if not chunk:
                    raise PeerError(f"it stopped {self._left} bytes short", is_suspect=False)
                chunk, self._behind = chunk[: self._left], chunk[self._left :]
                self._left -= len(chunk)
                yield chunk
        except (aiohttp.ClientError, OSError) as error:
            raise PeerError(f"it broke off: {type(error).__name__}", is_suspect=False) from error

    async def trailer(self, seconds: float) -> Trailer | None:
        """Return what the member says of all that it has sent; None where it breaks off, or takes longer than some *seconds*."""
        if FIELD not in self._response.headers:
            return Trailer.of(None)
        with suppress(aiohttp.ClientError, OSError, TimeoutError):
            async with asyncio.timeout(seconds):
                while len(self._behind) < LENGTH:
                    if not (chunk := await self._read()):
                        return None
                    self._behind += chunk
                return Trailer.decode(self._behind[:LENGTH])
        return None

    async def _read(self) -> bytes:
        return await (self._response.content.readany() if self._flow is None else self._flow.read())

    async def _line(self, beat: Callable[[], None]) -> str | None:
        try:
            for _ in range(_MAX_LINE):
                if (first := await self._response.content.read(1)) != BEAT:
                    break
                beat()
            line = first + await self._response.content.readuntil(b"\n")
            facts = json.loads(line[:_MAX_LINE])
            self._sealed.check(facts.get("mac"), facts["said"])
            return _said(facts["said"])
        except (aiohttp.ClientError, OSError) as error:
            raise PeerError(f"it broke off: {type(error).__name__}") from error
        except (HttpProcessingError, ValueError, KeyError, TypeError, AttributeError, RecursionError, NotOursError) as error:
            # HttpProcessingError: the line is too long; RecursionError: JSON within JSON within JSON
            raise PeerError("it said what no member says") from error


def _said(text: str) -> str | None:
    """Return the Content-Range that a member said later; raise what it said instead."""
    facts = json.loads(text)
    if "error" in facts:
        raise decoded_error(facts["error"])
    if "failed" in facts:
        raise PeerError(str(facts["failed"]), is_suspect=False)
    if not isinstance(facts["range"], str):
        raise TypeError("not a Content-Range")
    return facts["range"]
