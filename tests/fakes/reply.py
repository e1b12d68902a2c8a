"""An answer as a value: what it says, how it is framed, and how its body will leave."""

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from http import HTTPStatus
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from tests.fakes.wire import Wire

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")

Delivery: TypeAlias = "Callable[[Wire, bytes], Awaitable[None]]"
"""How a body is put on the wire, misdeeds included."""


class Framing(Enum):
    """How a client is to know where the body ends."""

    LENGTH = "Content-Length"
    CHUNKED = "chunks"
    CLOSE = "the end of the connection"


async def whole(wire: "Wire", body: bytes) -> None:
    """Deliver honestly."""
    await wire.body(body)


@dataclass(frozen=True, slots=True)
class Reply:
    """A status, headers and a body; *overrides* are applied last, and a None takes a header away."""

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    has_ranges: bool = False
    framing: Framing = Framing.LENGTH
    delivery: Delivery = whole
    length: int | None = None  # promised instead of the body's own
    overrides: Mapping[str, str | list[str] | None] = field(default_factory=dict)

    @property
    def has_body(self) -> bool:
        return self.status not in {HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED}

    def ranged(self, header: str | None) -> "Reply":
        """Cut to the one range that *header* asks for; several ranges, or an odd header, get the whole."""
        match = _RANGE.fullmatch(header or "")
        if match is None or not self.has_ranges or self.status != HTTPStatus.OK or match[0] == "bytes=-":
            return self
        size = len(self.body)
        start, stop = _bounds(match[1], match[2], size)
        if start >= stop:
            return replace(self, status=416, body=b"", headers=(*self.headers, ("Content-Range", f"bytes */{size}")))
        said = ("Content-Range", f"bytes {start}-{stop - 1}/{size}")
        return replace(self, status=206, body=self.body[start:stop], headers=(*self.headers, said))

    def head(self, *, keeps_alive: bool) -> bytes:
        """Render the status line and the headers, blank line included."""
        lines = [f"HTTP/1.1 {self.status} {_phrase(self.status)}"]
        lines += [f"{name}: {value}" for name, value in self._headers(keeps_alive=keeps_alive)]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogateescape")

    def _headers(self, *, keeps_alive: bool) -> list[tuple[str, str]]:
        found = [*self.headers, *self._frame()]
        if not keeps_alive:
            found.append(("Connection", "close"))
        hidden = {name.lower() for name in self.overrides}
        found = [(name, value) for name, value in found if name.lower() not in hidden]
        for name, value in self.overrides.items():
            found += [(name, one) for one in ([value] if isinstance(value, str) else value or [])]
        return found

    def _frame(self) -> list[tuple[str, str]]:
        if not self.has_body or self.framing is Framing.CLOSE:
            return []
        if self.framing is Framing.CHUNKED:
            return [("Transfer-Encoding", "chunked")]
        return [("Content-Length", str(len(self.body) if self.length is None else self.length))]


def json_reply(document: object, status: int = 200, headers: tuple[tuple[str, str], ...] = ()) -> Reply:
    return Reply(status, (("Content-Type", "application/json"), *headers), json.dumps(document).encode())


def error_reply(status: int, code: str, headers: tuple[tuple[str, str], ...] = ()) -> Reply:
    """Make an OCI error body."""
    return json_reply({"errors": [{"code": code, "message": f"the fake registry says {code}", "detail": None}]}, status, headers)


def _bounds(first: str, last: str, size: int) -> tuple[int, int]:
    if not first:
        return max(size - int(last), 0), size
    return int(first), min(int(last) + 1, size) if last else size


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
