"""A real HTTP server on loopback that keeps a ledger and can be told to misbehave."""

import asyncio
import contextlib
import socket
import ssl
import weakref
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from aiohttp import web

from regproxy.web.connection.aiohttp_parts import TimedSite
from tests.fakes.deeds import Deed
from tests.fakes.entry import Entry, Match, matches
from tests.fakes.reply import Reply, error_reply
from tests.fakes.wire import Wire, Written

_FIELD_LIMIT = 64 * 1024  # a fake looks at long headers and paths, it does not refuse them
_CLOSING = 1.0  # seconds; handlers are gone long before, their connections being aborted


@dataclass(slots=True)
class Misdeed:
    """Deeds waiting for requests, for a number of times or for ever."""

    match: Match
    deeds: tuple[Deed, ...]
    times: int | None
    even_unauthorized: bool


class FakeServer:
    """Answers with what `answer` says; the port stays reserved while it is stopped."""

    def __init__(self, *, address: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> None:
        self.ledger: list[Entry] = []
        self._address = address
        self._tls = tls
        self._misdeeds: list[Misdeed] = []
        self._news = asyncio.Event()
        self._transports: weakref.WeakSet[asyncio.Transport] = weakref.WeakSet()
        self._reserved: socket.socket | None = None
        self._runner: web.ServerRunner | None = None

    # What a test asks of it.

    @property
    def port(self) -> int:
        if self._reserved is None:
            raise RuntimeError("a fake server has a port only within `async with`")
        return int(self._reserved.getsockname()[1])

    @property
    def host(self) -> str:
        return f"[{self._address}]:{self.port}" if ":" in self._address else f"{self._address}:{self.port}"

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://{self.host}"

    def count(self, method: str, kind: str, text: str = "") -> int:
        """Count the requests of a kind ("manifests", "blobs", "tags", "referrers", "token", "ping") with *text* in the path."""
        return sum(entry.method == method and entry.kind == kind and text in entry.path for entry in self.ledger)

    def sent_blob_bytes(self) -> int:
        return sum(entry.sent for entry in self.ledger if entry.kind == "blobs" and entry.status in {200, 206})

    async def seen(self, match: Match, times: int = 1) -> None:
        """Wait until that many requests have come in."""
        while sum(matches(match, entry) for entry in self.ledger) < times:
            await self._news.wait()

    def misbehave(self, match: Match, *deeds: Deed, times: int | None = None, even_unauthorized: bool = False) -> Misdeed:
        """Do *deeds* to the requests that match; the first misdeed that matches and is not used up is taken, alone.

        A request that is refused for want of a token is left alone and not counted, unless *even_unauthorized*.
        """
        misdeed = Misdeed(match, deeds, times, even_unauthorized)
        self._misdeeds.append(misdeed)
        return misdeed

    def behave(self) -> None:
        """Forget all misdeeds; responses under way are not changed."""
        self._misdeeds.clear()

    # What a kind of server says.

    def answer(self, entry: Entry) -> Reply:  # noqa: ARG002
        return error_reply(404, "NOT_FOUND")

    def refusal(self, entry: Entry) -> Reply | None:  # noqa: ARG002
        """Say with what 401 a request is turned away, if it is."""
        return None

    # How it is run.

    async def __aenter__(self) -> Self:
        family = socket.AF_INET6 if ":" in self._address else socket.AF_INET
        self._reserved = _bound(family, self._address, 0)
        await self.start()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.stop()
        if self._reserved is not None:
            self._reserved.close()

    async def start(self) -> None:
        """Listen, on the same port as before."""
        if self._runner is not None:
            return
        assert self._reserved is not None
        options = {"access_log": None, "max_line_size": _FIELD_LIMIT, "max_field_size": _FIELD_LIMIT, "auto_decompress": False}
        server = web.Server(self._handle, handler_cancellation=True, **options)  # type: ignore[arg-type]
        self._runner = web.ServerRunner(server, shutdown_timeout=_CLOSING)
        await self._runner.setup()
        listening = _bound(self._reserved.family, self._address, self.port)
        listening.listen(4096)  # with TLS, a site does not
        await TimedSite(self._runner, listening, handshake_timeout=60, ssl_context=self._tls, backlog=4096).start()

    async def stop(self) -> None:
        """Refuse connections from now on, and end the open ones."""
        runner, self._runner = self._runner, None
        if runner is None:
            return
        for site in runner.sites:
            await site.stop()
        for transport in self._transports:
            with contextlib.suppress(AttributeError):  # asyncio's, of one that was closed with something left to write, and has written it
                transport.abort()
        await runner.cleanup()
        await asyncio.sleep(0)  # for the sockets to be closed

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.transport is not None:
            self._transports.add(request.transport)
        entry = Entry(request.method, request.raw_path, _headers(request), await request.read())
        self._record(entry)
        wire = Wire(request, entry)
        try:
            await self._respond(entry, wire)
        except ConnectionError:
            wire.fin()
        return Written(keeps_alive=wire.keeps_alive)

    def _record(self, entry: Entry) -> None:
        self.ledger.append(entry)
        news, self._news = self._news, asyncio.Event()
        news.set()

    async def _respond(self, entry: Entry, wire: Wire) -> None:
        deeds = self._deeds_for(entry)
        for deed in deeds:
            await deed.before(wire)
        if wire.is_closed:
            return
        reply = self.refusal(entry) or self.answer(entry)
        for deed in deeds:
            reply = deed.change(reply, entry)
        await wire.send(reply.ranged(entry.headers.get("range") if entry.method == "GET" else None))

    def _deeds_for(self, entry: Entry) -> tuple[Deed, ...]:
        is_refused = self.refusal(entry) is not None
        for misdeed in self._misdeeds:
            if misdeed.times == 0 or (is_refused and not misdeed.even_unauthorized) or not matches(misdeed.match, entry):
                continue
            if misdeed.times is not None:
                misdeed.times -= 1
            return misdeed.deeds
        return ()


def _headers(request: web.BaseRequest) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in request.headers.items():
        key = name.lower()
        found[key] = f"{found[key]}, {value}" if key in found else value
    return found


def _bound(family: int, address: str, port: int) -> socket.socket:
    """Bind, sharing the port with our own sockets that do not listen; so nobody else gets it while we are stopped."""
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((address, port))
    return sock
