"""A host that says anything: what a registry would say, changed in status, headers, body and pace."""

import asyncio
import gzip
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

from tests.fakes import endings
from tests.fakes.entry import Entry
from tests.fakes.listener import Listener
from tests.fakes.registry import FakeRegistry
from tests.fakes.reply import Framing, Reply

_PIECE = 64 * 1024
_ENDLESS = 24 * 1024 * 1024  # bytes of a body that goes on and on
_TRICKLE = 0.05  # seconds from one byte to the next
_BOMB = gzip.compress(bytes(32 * 1024 * 1024))
_DEEP = b"[" * 200_000
_STATUSES = (
    *(
        0,
        99,
        100,
        101,
        103,
        199,
        200,
        201,
        202,
        204,
        206,
        226,
        300,
        301,
        302,
        303,
        304,
        305,
        307,
        308,
        399,
        400,
        401,
        402,
        403,
        404,
        405,
        406,
    ),
    *(408, 410, 412, 414, 415, 416, 418, 425, 429, 431, 451, 499, 500, 501, 502, 503, 504, 507, 508, 520, 599, 600, 999),
)
_FIRST_LINES = (
    b"HTTP/1.0 200 OK",
    b"HTTP/2 200",
    b"ICY 200 OK",
    b"HTTP/1.1 two hundred",
    b"HTTP/1.1  200",
    b"200 OK",
    b"\x00",
    b"",
    b"HTTP/1.1 200 " + b"x" * 40_000,
)
_HEADERS: tuple[tuple[str, str | list[str] | None], ...] = (
    *(("Content-Length", value) for value in (None, "0", "1", "-1", "99999999999", "1" * 40, "0x10", "+5", "5, 5")),
    ("Content-Length", ["5", "6"]),
    *(("Transfer-Encoding", value) for value in ("chunked", "gzip", "chunked, chunked", "identity", "xchunked")),
    *(("Content-Encoding", value) for value in ("gzip", "identity", "br", "x" * 100)),
    *(
        ("Content-Type", value)
        for value in (None, "", "text/html", "text/json", "binary/octet-stream", "x" * 300, "application/json; charset=\x1b[31m")
    ),
    ("Content-Type", "application/vnd.docker.distribution.manifest.v1+prettyjws"),
    ("Content-Type", "application/vnd.docker.distribution.manifest.v2+json"),
    *(("Docker-Content-Digest", value) for value in (None, "", "sha256:" + "0" * 64, "sha512:" + "0" * 128, "md5:x", "\udcff" * 10)),
    *(("Content-Range", value) for value in (None, "bytes 0-0/1", "bytes 5-1/9", "bytes 0-99999999999/99999999999", "bytes */5", "x")),
    *(("Retry-After", value) for value in ("0", "-5", "1e9", "999999999999", "Wed, 21 Oct 2099 07:28:00 GMT", "soon")),
    *(
        ("Location", value)
        for value in (
            "",
            "/",
            "//",
            "http://",
            "http://[::1",
            "http://user:pass@127.0.0.1:1/",
            "http://127.0.0.1:1/x y",
            "ftp://x/",
            "\x7f",
        )
    ),
    *(
        ("WWW-Authenticate", value)
        for value in (
            "",
            "Bearer",
            "Basic",
            "Negotiate",
            'Bearer realm=""',
            'Bearer realm="http://evil.example/token"',
            'Bearer realm="::"',
        )
    ),
    (
        "WWW-Authenticate",
        'Bearer realm="https://127.0.0.1:1/token",service="' + "s" * 5000 + '",scope="' + "repository:x:pull " * 500 + '"',
    ),
    ("WWW-Authenticate", 'Bearer realm="http://169.254.169.254/latest",scope="repository:library/app:pull,push"'),
    ("WWW-Authenticate", [f'Bearer realm="http://127.0.0.1:{port}/"' for port in range(1, 200)]),
    *(("Link", value) for value in ('</v2/x/tags/list?n=1&last=z>; rel="next"', "<>; rel=next", "<" * 1000)),
    ("ratelimit-remaining", "0;w=21600"),
    ("ratelimit-limit", "\x01"),
    ("Set-Cookie", "a=b"),
    ("Connection", "upgrade"),
    ("Connection", "close"),
    ("Via", "1.1 regproxy"),
    ("X-Long", "y" * 40_000),
)
_LINES = (
    b"no colon\r\n",
    b" folded: x\r\n",
    b"X: \x00\r\n",
    b"\xff\xfe: x\r\n",
    b": x\r\n",
    b"X: a\rb\r\n",
    b"".join(b"X-%d: y\r\n" % number for number in range(500)),
)


@dataclass
class Speech:
    """An answer on its way to being wrong."""

    reply: Reply
    first_line: bytes | None = None
    lines: bytes = b""
    before: float = 0.0  # seconds of silence before it
    pace: str = "at once"
    ending: str = "keep"


Misdeed: TypeAlias = Callable[[Speech, random.Random], None]


class FuzzedHost(Listener):
    """Answers as *registry* would, with misdeeds drawn from *chance* for each request."""

    def __init__(self, registry: FakeRegistry, chance: random.Random, silence: float) -> None:
        """Take how many seconds of silence the other side bears at most."""
        super().__init__()
        self._registry = registry
        self._chance = chance
        self._silence = silence
        self.answers = 0
        self.right_answers = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while entry := await _entry(reader):
            speech = Speech(self._registry.answer(entry).ranged(entry.headers.get("range") if entry.method == "GET" else None))
            misdeeds = self._chance.sample(MISDEEDS, self._chance.choices((0, 1, 2, 3), (4, 5, 2, 1))[0])
            for misdeed in misdeeds:
                misdeed(speech, self._chance)
            self.answers += 1
            self.right_answers += not misdeeds
            await self._speak(speech, entry, reader, writer)
            if speech.ending != "keep":
                return

    async def _speak(self, speech: Speech, entry: Entry, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(speech.before * self._silence)
        writer.write(_head(speech))
        body = b"" if entry.method == "HEAD" and speech.pace != "a body to HEAD" else speech.reply.body
        if speech.reply.framing is Framing.CHUNKED and body:
            body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
        match speech.pace:
            case "a trickle":
                for at in range(len(body)):
                    writer.write(body[at : at + 1])
                    await writer.drain()
                    await asyncio.sleep(_TRICKLE)
            case "a stall":
                writer.write(body[: self._chance.randrange(len(body) + 1)])
                await writer.drain()
                await reader.read()
            case "endless":
                for _ in range(_ENDLESS // _PIECE):
                    writer.write(bytes(_PIECE))
                    await writer.drain()
            case _:
                writer.write(body)
        await writer.drain()
        if speech.ending == "rst":
            await endings.reset(writer.transport)
        elif speech.ending == "hang":
            await reader.read()


def _head(speech: Speech) -> bytes:
    head = speech.reply.head(keeps_alive=True)
    line, _, rest = head.partition(b"\r\n")
    return (line if speech.first_line is None else speech.first_line) + b"\r\n" + speech.lines + rest


def _set(speech: Speech, **changes: object) -> None:
    speech.reply = replace(speech.reply, **changes)  # type: ignore[arg-type]


def _other_status(speech: Speech, chance: random.Random) -> None:
    _set(speech, status=chance.choice(_STATUSES))


def _only_a_status(speech: Speech, chance: random.Random) -> None:
    """Say no in a way that makes sense, as most hosts do that say no."""
    status = chance.choice((400, 401, 403, 404, 429, 500, 502, 503))
    speech.reply = Reply(status, (("Content-Type", "text/plain"),), b"no")


def _other_first_line(speech: Speech, chance: random.Random) -> None:
    speech.first_line = chance.choice(_FIRST_LINES)


def _other_header(speech: Speech, chance: random.Random) -> None:
    _set(speech, overrides={**speech.reply.overrides, **dict([chance.choice(_HEADERS)])})


def _odd_lines(speech: Speech, chance: random.Random) -> None:
    speech.lines = chance.choice(_LINES)


def _redirect(speech: Speech, chance: random.Random) -> None:
    location = chance.choice(
        (
            "/v2/",
            "",
            "?x",
            "//127.0.0.1:1/x",
            "http://169.254.169.254/",
            "http://10.0.0.1/",
            "http://[64:ff9b::7f00:1]/",
            "file:///etc/passwd",
        )
    )
    speech.reply = Reply(chance.choice((301, 302, 303, 307, 308)), (("Location", location),))


def _wrong_bytes(speech: Speech, chance: random.Random) -> None:
    body = bytearray(speech.reply.body)
    if body:
        body[chance.randrange(len(body))] ^= 1 << chance.randrange(8)
    _set(speech, body=bytes(body))


def _cut(speech: Speech, chance: random.Random) -> None:
    """Promise all of it and end early."""
    body = speech.reply.body
    _set(speech, length=len(body), body=body[: chance.randrange(len(body) + 1)])
    speech.ending = chance.choice(("fin", "rst"))


def _shorter(speech: Speech, chance: random.Random) -> None:
    _set(speech, body=speech.reply.body[: chance.randrange(len(speech.reply.body) + 1)])


def _longer(speech: Speech, chance: random.Random) -> None:
    _set(speech, body=speech.reply.body + bytes(chance.choice((1, 1000, 6_000_000))))


def _more_than_promised(speech: Speech, chance: random.Random) -> None:
    _set(
        speech,
        length=len(speech.reply.body),
        body=speech.reply.body + b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" * chance.randint(1, 3),
    )


def _other_body(speech: Speech, chance: random.Random) -> None:
    _set(
        speech,
        body=chance.choice((b"", b"{}", b"null", b"<html>", _DEEP, _BOMB, b'{"token": 5}', b'{"manifests": [' + b"{}," * 50_000 + b"{}]}")),
    )


def _bomb(speech: Speech, chance: random.Random) -> None:  # noqa: ARG001
    _set(speech, body=_BOMB, overrides={"Content-Encoding": "gzip"})


def _framed_otherwise(speech: Speech, chance: random.Random) -> None:
    _set(speech, framing=chance.choice((Framing.CHUNKED, Framing.CLOSE)))
    speech.ending = chance.choice(("fin", "keep", "hang"))


def _late(speech: Speech, chance: random.Random) -> None:
    speech.before = chance.choice((0.1, 0.5, 0.9, 1.5, 3.0))


def _paced(speech: Speech, chance: random.Random) -> None:
    speech.pace = chance.choice(("a trickle", "a stall", "endless", "a body to HEAD"))
    speech.ending = "fin"


def _ended(speech: Speech, chance: random.Random) -> None:
    speech.ending = chance.choice(("fin", "rst", "hang"))


MISDEEDS: tuple[Misdeed, ...] = (
    *(_other_status, _only_a_status, _other_first_line, _other_header, _other_header, _odd_lines, _redirect, _wrong_bytes, _cut, _shorter),
    *(_longer, _more_than_promised, _other_body, _bomb, _framed_otherwise, _late, _paced, _paced, _ended),
)


async def _entry(reader: asyncio.StreamReader) -> Entry | None:
    """Read one request; None at the end of the connection."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except (EOFError, ConnectionError):
        return None
    line, *fields = head.strip().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Entry(line.split()[0], line.split()[1], headers, body)
