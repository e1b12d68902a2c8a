"""The grammar of hostile requests.

A request is made of an intention (which content, of which repository, named in which way) and of oddities. What it may be answered with
follows from the intention alone, by the rules of routing as they are documented: no oddity gives anybody more.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tests.faults.hostile.world import Image, Item, Repository, World

VAIN = "vain/"  # what the names of repositories begin with that nobody has
_DEFAULT = "open.test"
_SERVED = {"open.cache": "open.test", "pass.cache": "pass.test"}
_ALIASES = {"alias.test": "open.test"}
_ELSEWHERE = "elsewhere"  # no name of ours
_ABSOLUTE = 1 / 12  # of the odd requests
_METHODS = ("POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "get", "GeT", "HEADS", "PRI", "G" * 300, "\x00")


@dataclass(frozen=True, slots=True)
class Request:
    """One request as bytes, with what it may be answered with: nothing, or one item."""

    raw: bytes
    method: str
    kind: str
    allowed: Item | None
    is_odd: bool = False  # then nothing is promised about its answer, but what it may not contain


@dataclass(frozen=True, slots=True)
class Intent:
    """What a request asks for, before it is written."""

    method: str
    kind: str
    name: str  # in the path
    reference: str
    namespaces: tuple[str, ...] = ()
    host: str = "proxy"
    headers: tuple[tuple[str, str], ...] = ()

    def allowed(self, world: World) -> Item | None:
        """Say what the documented routing makes of it."""
        found = self._routed()
        if found is None:
            return None
        if self.kind == "tags":
            return world.listing(*found)
        item = world.may_have(*found, self.reference)
        return item if item is not None and item.kind == self.kind else None

    def _routed(self) -> tuple[str, str] | None:
        first, _, rest = self.name.partition("/")
        prefixed = _upstream(first) if rest else None
        if len(self.namespaces) > 1:
            return None
        upstream = _upstream(self.namespaces[0]) if self.namespaces else _SERVED.get(self.host) or prefixed or _DEFAULT
        return None if upstream is None else (upstream, rest if prefixed == upstream else self.name)

    def written(self) -> bytes:
        query = "".join(f"{'&' if number else '?'}ns={each}" for number, each in enumerate(self.namespaces))
        rest = "tags/list" if self.kind == "tags" else f"{self.kind}/{self.reference}"
        lines = [f"{self.method} /v2/{self.name}/{rest}{query} HTTP/1.1", f"Host: {self.host}"]
        return "\r\n".join([*lines, *(f"{name}: {value}" for name, value in self.headers), "", ""]).encode("utf-8", "surrogateescape")


def _upstream(name: str) -> str | None:
    found = _ALIASES.get(name, name)
    return found if found in {"open.test", "pass.test", "mirrored.test", "closed.test"} else None


class Grammar:
    """Writes requests for what lies in a world."""

    def __init__(self, world: World, chance: random.Random) -> None:
        self._world = world
        self._chance = chance

    def permitted(self, item: Item, where: Repository, **headers: str) -> bytes:
        """Write the plain request of a client that wants something it may have."""
        sent = tuple((name.replace("_", "-"), value) for name, value in headers.items())
        intent = self._named(Intent("GET", item.kind, where.name, str(item.digest), headers=sent), where)
        return intent.written()

    def refused(self, image: Image) -> Request:
        """Ask for what a repository refuses us, as a client would who learnt the digest somewhere."""
        where = self._chance.choice(image.refused or self._others(image))
        item = self._chance.choice(image.items)
        return self._finished(self._named(self._intent(item, image, where), where))

    def vain(self, number: int) -> Request:
        """Ask for what nobody has, under a name that nobody asked for before."""
        digest = f"sha256:{self._chance.getrandbits(256):064x}"
        kind = self._chance.choice(("blobs", "manifests", "manifests", "referrers", "tags"))
        reference = f"v{number}" if kind == "manifests" and self._chance.random() < 0.5 else digest
        headers = (("Range", "bytes=0-9"),) if self._chance.random() < 0.2 else ()
        intent = Intent(self._chance.choice(("GET", "HEAD")), kind, f"{VAIN}{number}", reference, headers=headers)
        return Request(intent.written(), intent.method, intent.kind, None)

    def any(self) -> Request:
        """Ask for anything, in any way."""
        image = self._chance.choice(self._world.images)
        where = self._chance.choice((*image.permitted, *image.refused, *self._world.repositories))
        item = self._chance.choice(image.items)
        intent = self._named(self._intent(item, image, where), where)
        if self._chance.random() < 0.15:
            intent = self._confused(intent)
        return self._finished(intent)

    def _others(self, image: Image) -> Sequence[Repository]:
        return [each for each in self._world.repositories if each not in image.permitted]

    def _intent(self, item: Item, image: Image, where: Repository) -> Intent:
        chance = self._chance
        kind = item.kind if chance.random() < 0.95 else chance.choice(("blobs", "manifests", "referrers", "tags"))
        reference = image.tag if item.kind == "manifests" and chance.random() < 0.5 else str(item.digest)
        if chance.random() < 0.05:
            reference = chance.choice(("latest", "v0", "sha256:" + "0" * 64, "sha512:" + "f" * 128, f"sha256-{item.digest.hex}"))
        method = chance.choices(("GET", "HEAD"), (3, 1))[0]
        return Intent(method, kind, where.name, reference, headers=self._headers(item))

    def _named(self, intent: Intent, where: Repository) -> Intent:
        """Name the upstream in one of the ways there are."""
        ways = [replace(intent, namespaces=(where.upstream,)), replace(intent, name=f"{where.upstream}/{where.name}")]
        ways.append(replace(intent, namespaces=(where.upstream,), name=f"{where.upstream}/{where.name}"))
        ways += [replace(intent, host=host) for host, upstream in _SERVED.items() if upstream == where.upstream]
        ways += [replace(intent, namespaces=(alias,)) for alias, upstream in _ALIASES.items() if upstream == where.upstream]
        if where.upstream == _DEFAULT:
            ways.append(intent)
        return self._chance.choice(ways)

    def _confused(self, intent: Intent) -> Intent:
        """Name two upstreams at once, or none there is."""
        names = ("open.test", "pass.test", "mirrored.test", "closed.test", "alias.test", "other.test", "", "OPEN.TEST", "open.test:443")
        match self._chance.randrange(4):
            case 0:
                return replace(intent, namespaces=(self._chance.choice(names[:6]),))
            case 1:
                return replace(intent, namespaces=(*intent.namespaces, self._chance.choice(names[:6])))
            case 2:
                return replace(intent, host=self._chance.choice((*_SERVED, "proxy", "other")))
            case _:
                return replace(intent, name=f"{self._chance.choice(names[:6])}/{intent.name}")

    def _headers(self, item: Item) -> tuple[tuple[str, str], ...]:
        chance, found = self._chance, []
        if chance.random() < 0.3:
            found.append(("Range", self._range(len(item.body))))
        if chance.random() < 0.1:
            found.append(("If-None-Match", chance.choice((f'"{item.digest}"', f'W/"{item.digest}"', "*", f"{item.digest}", '"x", *'))))
        if chance.random() < 0.05:
            found.append(("If-Range", chance.choice((f'"{item.digest}"', '"x"', "Wed, 21 Oct 2015 07:28:00 GMT"))))
        if chance.random() < 0.1:
            found.append(("Authorization", chance.choice(("Basic dXNlcjpwYXNzd29yZA==", "Bearer x", "Negotiate", "Bearer " + "x" * 3000))))
        if chance.random() < 0.1:
            found.append(
                ("Accept", chance.choice(("*/*", "text/html", "application/vnd.docker.distribution.manifest.v1+json", "x" * 2000)))
            )
        return tuple(found)

    def _range(self, size: int) -> str:
        chance = self._chance
        start = chance.randrange(size + 2)
        stop = start + chance.choice((0, 1, 100, 70_000, size))
        many = ",".join(f"{each}-{each}" for each in sorted(chance.randrange(size) for _ in range(chance.choice((2, 5, 64, 65, 500)))))
        one = (
            f"bytes={start}-{stop}",
            f"bytes={start}-",
            f"bytes=-{start}",
            "bytes=0-0",
            f"bytes=0-{size - 1}",
            f"bytes=0-0,{start}-{stop}",
        )
        odd = (f"bytes={many}", "bytes=", "bytes=-", "bytes=-0", "items=0-1", "bytes=9-1", "bytes=0-" + "9" * 30, "bytes=a-b", "bytes=0-0,")
        return chance.choice(one if chance.random() < 0.8 else odd)

    def _finished(self, intent: Intent) -> Request:
        """Write it, with an oddity now and then."""
        chance = self._chance
        if chance.random() < 0.7:
            return Request(intent.written(), intent.method, intent.kind, intent.allowed(self._world))
        if chance.random() < _ABSOLUTE:
            return self.absolute(intent)
        raw, may_be_answered = self._twisted(intent.written())
        allowed = intent.allowed(self._world) if may_be_answered else None
        return Request(raw, intent.method, intent.kind, allowed, is_odd=True)

    def absolute(self, intent: Intent) -> Request:
        """Write the absolute form, whose host is asked for, whatever the header says (RFC 9112, 3.2.2)."""
        raw = intent.written().replace(b" /", b" http://" + _ELSEWHERE.encode() + b"/", 1)
        return Request(raw, intent.method, intent.kind, replace(intent, host=_ELSEWHERE).allowed(self._world), is_odd=True)

    def _twisted(self, raw: bytes) -> tuple[bytes, bool]:
        """Apply an oddity, and say whether what the request intended may still be given."""
        chance = self._chance
        line, _, rest = raw.partition(b"\r\n")
        method, target, version = line.split(b" ")
        path, mark, query = target.partition(b"?")
        lines: tuple[tuple[bytes, bool], ...] = (
            (b" ".join((chance.choice(_METHODS).encode(), target, version)), False),
            (b" ".join((method, path.replace(b"/", b"%2f", chance.randint(1, 9)) + mark + query, version)), False),
            (b" ".join((method, path.replace(b"/v2/", b"/v2/x/../", 1) + mark + query, version)), False),
            (b" ".join((method, path.replace(b"/", b"//", 2) + mark + query, version)), False),
            (b" ".join((method, path.replace(b"/v2", chance.choice((b"/v1", b"/V2", b"", b"/v2/v2")), 1) + mark + query, version)), False),
            (b" ".join((method, path + b"/" + mark + query, version)), False),
            (
                b" ".join(
                    (
                        method,
                        path + chance.choice((b"%00", b"%0d%0a", b";x", b"\xff\xfe", b"%", b"%zz", b"x" * 300)) + mark + query,
                        version,
                    )
                ),
                False,
            ),
            (b" ".join((method, path + b"x" * chance.choice((4000, 9000, 70_000)), version)), False),
            (b" ".join((method, target, chance.choice((b"HTTP/1.0", b"HTTP/2.0", b"HTTP/1.1 x", b"HTTQ/1.1", b"")))), True),
            (b" ".join((method, target + b"#" + path, version)), True),
        )
        extra = chance.choice(_ODD_HEADERS)
        return chance.choice((*((changed + b"\r\n" + rest, may) for changed, may in lines), (line + b"\r\n" + extra + rest, True)))


_HIDDEN = b"GET /v2/hidden/a/manifests/v1 HTTP/1.1\r\nHost: proxy\r\n\r\n"
_ODD_HEADERS = (
    b"Content-Length: 5\r\n",
    b"Content-Length: 0\r\nContent-Length: 5\r\n",
    b"Content-Length: -1\r\n",
    b"Content-Length: 99999999999999999999\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
    b"Transfer-Encoding: xchunked\r\n",
    b"Transfer-Encoding : chunked\r\n",
    b"Content-Length: %d\r\n\r\n" % len(_HIDDEN) + _HIDDEN + b"GET / HTTP/1.1\r\n",
    b"Expect: 100-continue\r\n",
    b"Connection: upgrade\r\nUpgrade: websocket\r\n",
    b"Connection: upgrade, http2-settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
    b"Host: pass.cache\r\n",
    b"Via: 1.1 regproxy\r\n",
    b"Via: " + b", ".join(b"1.1 a%d" % number for number in range(20)) + b"\r\n",
    b"X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Host: pass.cache\r\n",
    b"X-Original-URL: /v2/hidden/a/manifests/v1\r\nX-HTTP-Method-Override: GET\r\n",
    b" folded: x\r\n",
    b"no colon\r\n",
    b"\x00: x\r\n",
    b"X: \x00\r\n",
    b": x\r\n",
    b"X: a\nGET / HTTP/1.1\r\n",
    b"X: " + b"y" * 9000 + b"\r\n",
    b"".join(b"X-%d: y\r\n" % number for number in range(300)),
    b"Range: bytes=0-0\r\nRange: bytes=1-1\r\n",
    b"Cookie: " + b"a=b; " * 500 + b"\r\n",
    b"TE: trailers\r\nTrailer: X\r\n",
    b"Accept-Encoding: gzip, br, zstd\r\n",
)
