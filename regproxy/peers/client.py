"""What we ask other members, and what they answer."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from hashlib import sha256
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from cachetools import LRUCache
from yarl import URL

from regproxy.config.sections.fleet import is_zone
from regproxy.fleet.waiting import is_done
from regproxy.peers.keys import ANSWER, REQUEST, FleetKeys, NotOursError, Sealed
from regproxy.peers.names import DECIDED, PING, Blob, target_of
from regproxy.peers.reply import BUSY, BYTES, DECISIONS, MISDIRECTED, OUTCOME, PENDING, ZONE, BusyError, PeerError, Reply
from regproxy.policy.clock import WallClock
from regproxy.policy.fleet.decisions import MAX_ENCODED, Decision, decoded
from regproxy.ports import UpstreamError
from regproxy.upstream.aiohttp_parts import broken_off, no_connection
from regproxy.upstream.connections import read_at_most
from regproxy.upstream.hosts.authorities import system_context

_HEAD_TIMEOUTS = 3  # for a head: who takes connections lives, and has much to do where all clients of a fleet come at once
_SAME_CLOCK = 2.0  # seconds: a Date has no fractions
_MAX_MEMBERS = 20_000  # whose clocks are remembered


@dataclass(slots=True)
class _Sending:
    """Whether a request has left: the member's machine lives."""

    is_connected: bool = False


async def _connected(_session: aiohttp.ClientSession, context: SimpleNamespace, _sent: aiohttp.TraceRequestHeadersSentParams) -> None:
    context.trace_request_ctx.is_connected = True


async def _dropped(task: asyncio.Future[aiohttp.ClientResponse]) -> None:
    """Have nothing more of a request."""
    task.cancel()
    (found,) = await asyncio.gather(task, return_exceptions=True)
    if isinstance(found, aiohttp.ClientResponse):
        found.close()


@dataclass(frozen=True, slots=True)
class Pong:
    """Why a member cannot be reached, if it cannot, and the version of what operators decided there, if it tells."""

    trouble: str | None
    decisions: str = ""


def _sealed(response: aiohttp.ClientResponse, sealed: Sealed, field: str) -> str:
    """Return what a *field* says before its MAC; raise `PeerError` where that is none."""
    said, _, mac = response.headers.get(field, "").partition(" ")
    try:
        if said:
            sealed.check(mac, field, said)
    except NotOursError as error:
        raise PeerError(str(error)) from error
    return said


class PeerClient:
    """Asks members."""

    def __init__(self, keys: FleetKeys, timeout: float, clock: WallClock, tls: ssl.SSLContext | None = None, tls_name: str = "") -> None:
        """Leave members *timeout* seconds for a connection, and some times as long for a head; of those with TLS, verify *tls_name*."""
        self._keys = keys
        self.timeout = timeout
        self._clock = clock
        self._tls = tls
        self._tls_name = tls_name or None
        self._skews: LRUCache[str, float] = LRUCache(_MAX_MEMBERS)
        self._session: aiohttp.ClientSession | None = None
        self._is_closed = False

    @asynccontextmanager
    async def piece(self, member: str, blob: Blob, start: int, stop: int, *, is_final: bool, us: str = "") -> AsyncIterator[Reply]:
        """Ask for bytes *start* to *stop*, being called *us*; raise `BusyError`, `UpstreamError` or `PeerError`."""
        target = target_of(blob, is_final=is_final, us=us)
        async with self.asked(member, target, f"bytes={start}-{stop - 1}") as (response, sealed):
            match response.headers.get(OUTCOME):
                case str(outcome) if outcome in {BYTES, PENDING}:
                    yield Reply(response, sealed, start)
                case str(outcome) if outcome == BUSY:
                    raise BusyError
                case _:
                    raise PeerError("it cannot", is_suspect=False)

    async def ping(self, member: str) -> Pong:
        """Ask a member whether it lives."""
        try:
            async with self.asked(member, PING) as (response, sealed):
                return Pong(None, _sealed(response, sealed, DECISIONS))
        except PeerError as error:
            return Pong(str(error))

    async def decisions(self, member: str) -> list[Decision]:
        """Ask a member for what operators decided; raise `PeerError`."""
        async with self.asked(member, DECIDED) as (response, sealed):
            try:
                async with asyncio.timeout(_HEAD_TIMEOUTS * self.timeout):
                    body = await read_at_most(response, MAX_ENCODED, "freezes and pins")
                sealed.check(response.headers.get(DECISIONS), DECISIONS, sha256(body).hexdigest())
                return decoded(body)
            except (UpstreamError, aiohttp.ClientError, OSError, ValueError, NotOursError) as error:
                raise PeerError(f"what it tells of freezes and pins cannot be read: {error}") from error

    async def zone(self, member: str) -> str:
        """Ask a member which zone it is in; empty where it has none. Raise `PeerError`."""
        async with self.asked(member, PING) as (response, sealed):
            zone = _sealed(response, sealed, ZONE)
            return zone if is_zone(zone) else ""

    async def close(self) -> None:
        self._is_closed = True
        if self._session is not None:
            await self._session.close()

    @asynccontextmanager
    async def asked(
        self, member: str, target: str, range_: str = "", method: str = "GET", body: bytes | None = None
    ) -> AsyncIterator[tuple[aiohttp.ClientResponse, Sealed]]:
        """Wait for the head of an answer that a member made; where it has another clock, learn that, once.

        Raise `PeerError`. What *target* says is signed, and *body* is not.
        """
        host = urlsplit(member).netloc
        for is_last in (False, True):
            skew = self._skews.get(member, 0.0)
            field, sealed = self._keys.signed(method, host, target, range_, skew)
            headers = {"Host": host, REQUEST: field} | ({"Range": range_} if range_ else {})
            response = await self._sent(method, URL(f"{member}{target}", encoded=True), headers, body)
            try:
                if response.status == 401 and not is_last and self._learns(member, response.headers.get("Date", ""), skew):
                    continue
                answered = response.headers
                parts = str(response.status), answered.get(OUTCOME, ""), answered.get("Content-Range", "")
                try:
                    sealed.check(answered.get(ANSWER), *parts)
                except NotOursError as error:
                    reason = "it refuses our fleet.key or our clock" if response.status == 401 else str(error)
                    raise PeerError(reason) from error
                if answered.get(OUTCOME) == MISDIRECTED:
                    raise PeerError("it goes by another name: see its fleet.advertise")
                try:
                    with broken_off():
                        yield response, sealed
                except aiohttp.ServerDisconnectedError as error:
                    raise PeerError("it broke off", is_suspect=False) from error
                return
            finally:
                if not response.content.at_eof():
                    response.close()
                response.release()

    async def _sent(self, method: str, url: URL, headers: dict[str, str], body: bytes | None) -> aiohttp.ClientResponse:
        if self._is_closed:
            raise PeerError("we ask no more", is_suspect=False)
        sending = _Sending()
        options: dict[str, Any] = {"headers": headers, "data": body, "allow_redirects": False, "server_hostname": self._tls_name}
        task = asyncio.ensure_future(self._opened().request(method, url, trace_request_ctx=sending, **options))
        answer = None
        try:
            if not await is_done(task, self.timeout):
                if not sending.is_connected:
                    raise PeerError(f"it took no connection within {self.timeout:g} s")
                if not await is_done(task, (_HEAD_TIMEOUTS - 1) * self.timeout):
                    raise PeerError(f"it did not answer within {_HEAD_TIMEOUTS * self.timeout:g} s")
            answer = task.result()
            return answer
        except aiohttp.ClientConnectorError as error:
            raise PeerError(f"cannot be asked: {no_connection(error)}") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise PeerError(f"cannot be asked: {type(error).__name__}") from error
        finally:
            if answer is None:
                await _dropped(task)

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            tracing = aiohttp.TraceConfig()
            tracing.on_request_headers_sent.append(_connected)
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, ssl=self._tls or system_context()),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": "regproxy", "Accept-Encoding": "identity"},
                auto_decompress=False,
                timeout=aiohttp.ClientTimeout(total=None),
                trace_configs=[tracing],
            )
        return self._session

    def _learns(self, member: str, date: str, believed: float) -> bool:
        """Remember what time it is there, and report whether that differs from what was *believed*."""
        try:
            skew = parsedate_to_datetime(date).timestamp() - self._clock()
        except (ValueError, OverflowError):
            return False
        self._skews[member] = skew
        return abs(skew - believed) > _SAME_CLOCK
