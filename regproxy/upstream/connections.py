"""HTTP to one host: what is sent, how long it may take, and what foreign errors are called here.

aiohttp's defaults are a browser's; a registry's bytes must arrive as they were sent (no decompression), signed URLs must stay as they
are (no requoting), a large blob may take hours (no total timeout), and manifests must not queue behind blobs (a pool each).
"""

import asyncio
import errno
import math
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, nullcontext, suppress
from enum import Enum

import aiohttp
from yarl import URL

from regproxy import __version__, large
from regproxy.config import Timeouts
from regproxy.oci.http.coding import codings
from regproxy.policy.clients.sharing import Share
from regproxy.policy.routing import Host
from regproxy.ports import LocalResourceError, Unavailable, UnexpectedResponse, UpstreamError
from regproxy.slots import NoSlotError, Slots
from regproxy.upstream.aiohttp_parts import PeerResponse, broken_off, no_connection
from regproxy.upstream.guard import ForbiddenAddressError, Guard, GuardedResolver, MisplacedHostError
from regproxy.upstream.hosts.authorities import context_of
from regproxy.upstream.location import place

_PROXY_WANTS_A_USER = 407
_OURS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})  # a failure to connect that is not the host's
_FIELD_LIMIT = 32 * 1024  # signed Locations and tokens are longer than aiohttp's 8190
_BUFFER = 256 * 1024  # bytes of a blob read ahead per response; twice that at most
_SMALL_BUFFER = 64 * 1024  # ... of all else, which may be many that wait for memory


class Pool(Enum):
    """What a connection is for."""

    TOKEN = "token"  # noqa: S105 -- a label
    MANIFEST = "manifest"
    LIST = "list"  # of tags or referrers: some registries take long to make one, and nobody else is to wait for that
    BLOB = "blob"


# Seconds to the head of an answer, whatever is configured: a miss behind a silent token service is to fail within five, its 401 included.
_TIMEOUT = {Pool.TOKEN: 4.0}
_MAX_TURN_WAIT = 30.0  # seconds, for all but blobs; whoever asked for what is small has left by then
_MOST_REQUESTS = {Pool.TOKEN: 8, Pool.MANIFEST: 64, Pool.LIST: 16, Pool.BLOB: 128}  # a host sees no more of us at once
_REST_OF_A_BODY = 64 * 1024, 0.5  # bytes and seconds worth reading of a redirect or a refusal, to keep its connection


class _Response(PeerResponse):
    """An answer that may take so long."""

    deadline: "Deadline | None" = None  # for all of it


class Deadline:
    """How many seconds an answer may still take, over all its redirects; those spent waiting for a turn of ours do not count."""

    def __init__(self, seconds: float) -> None:
        self._seconds = self._left = seconds
        self._limit: asyncio.Timeout | None = None

    @asynccontextmanager
    async def paused(self) -> AsyncIterator[None]:
        """Suspend the deadline meanwhile: the delay is our own."""
        limit = self._limit
        when = limit.when() if limit is not None else None
        if limit is None or when is None or limit.expired():
            yield
            return
        loop = asyncio.get_running_loop()
        left = when - loop.time()
        limit.reschedule(None)
        try:
            yield
        finally:
            limit.reschedule(loop.time() + left)

    @asynccontextmanager
    async def running(self, where: str) -> AsyncIterator[None]:
        """Count what happens meanwhile; raise `Unavailable` at the end."""
        began = time.monotonic()
        try:
            async with asyncio.timeout(self._left if self._left < math.inf else None) as limit:
                self._limit = limit
                yield
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise Unavailable(f"{where} did not finish its answer within {self._seconds:g} s", timed_out=True) from error
        finally:
            self._left -= time.monotonic() - began


class Connections:
    """Everything that is open to one host, and where that host may send us."""

    def __init__(self, host: Host, timeouts: Timeouts, metadata: Collection[str] = ()) -> None:
        """Open nothing yet; *metadata* is where the host may be although metadata services of clouds are not connected to."""
        self._host = host
        self._timeouts = timeouts
        self.token_timeout = min(timeouts.head, _TIMEOUT[Pool.TOKEN])  # seconds, for all of an answer
        self._home = URL(host.url)
        proxy = URL(host.proxy.url).host if host.proxy else None
        self._proxy = host.proxy.url if host.proxy else None
        known = host.proxy.credential if host.proxy else None
        login = known and aiohttp.encode_basic_auth(known.username, known.password.value, encoding="utf-8")
        self._proxy_headers = {"Authorization": login} if login else None  # aiohttp sends it as Proxy-Authorization
        is_verified = self._home.scheme == "https" and not host.tls.insecure
        own, realms, networks, by_pattern = self._home.host or "", _names(host.realms), host.private_networks, host.is_of_pattern
        self._guard = Guard(own, realms, networks, proxy, is_verified=is_verified, metadata=metadata, is_of_pattern=by_pattern)
        self._is_closed = False
        self._sessions: dict[Pool, aiohttp.ClientSession] = {}
        self._turns = {pool: Slots(Share.of(most)) for pool, most in _MOST_REQUESTS.items()}

    @asynccontextmanager
    async def request(
        self,
        pool: Pool,
        method: str,
        url: URL,
        headers: Mapping[str, str],
        connect: float | None = None,
        form: Mapping[str, str] | bytes | None = None,
        deadline: Deadline | None = None,
        recheck: Callable[[], None] | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send one request, following nothing; raise `Unavailable`.

        *connect* shortens the timeout for a handshake; *form* is a body; *deadline* is for all of the answer, its body included.
        Waiting for one's turn is our doing, not the host's, and does not count against its timeout; *recheck* is called after it, and
        raises where nothing is to be sent any more.
        """
        limits = aiohttp.ClientTimeout(
            total=None,
            sock_connect=min(connect or self._timeouts.connect, self._timeouts.connect),
            # Whoever reads a blob keeps the time: aiohttp's begins anew where an end is read after a pause, and then ends the next answer.
            # It also counts the wait for the head, which may be longer than a silence.
            sock_read=None if pool is Pool.BLOB else max(self._timeouts.silence, self._timeouts.head),
        )
        async with self._turn(pool), (deadline or Deadline(math.inf)).running(place(url)):
            if recheck is not None:
                recheck()
            if self._is_closed:
                raise LocalResourceError(f"{self._host} is not asked: its connections were closed a moment ago")
            with self.translated(url):
                self._guard.check_literal(url.host or "")
                async with asyncio.timeout(min(self._timeouts.head, _TIMEOUT.get(pool, math.inf))):
                    response = await self._session(pool).request(
                        method,
                        url,
                        headers=headers,
                        data=form,
                        allow_redirects=False,
                        timeout=limits,
                        proxy=self._proxy,
                        proxy_headers=self._proxy_headers,
                    )
            if isinstance(response, _Response):
                response.deadline = deadline
            try:
                self._settle(response)
                if response.status == _PROXY_WANTS_A_USER and self._proxy is not None:
                    raise Unavailable(f"cannot connect to {url.host}: the proxy {self._proxy} answered 407")
                if response.status in {200, 206} and (encoded := codings(response.headers.getall("Content-Encoding", ()))):
                    raise UnexpectedResponse(f"{url.host} sent a body encoded with {', '.join(encoded)} though asked for identity")
                yield response
                await _finish(response)
            finally:
                response.close()

    def own_headers(self, url: URL) -> dict[str, str]:
        """Return the headers that the configuration has for the host, where *url* is at its own origin."""
        return {name: value.value for name, value in self._host.headers} if url.origin() == self._home.origin() else {}

    @asynccontextmanager
    async def _turn(self, pool: Pool) -> AsyncIterator[None]:
        """Wait for a slot; raise `LocalResourceError` where others keep them all for too long."""
        try:
            async with self._turns[pool].held(None if pool is Pool.BLOB else _MAX_TURN_WAIT):
                yield
        except NoSlotError as error:
            raise LocalResourceError(f"{self._host} is not asked: too many requests to it are under way") from error

    @contextmanager
    def translated(self, url: URL) -> Iterator[None]:
        """Translate errors of a request to *url* into our own."""
        where = place(url)
        try:
            with broken_off():
                yield
        except (TimeoutError, aiohttp.ServerTimeoutError) as error:
            raise Unavailable(f"{where} did not answer in time", timed_out=True) from error
        except aiohttp.ClientConnectorError as error:
            cause = error.os_error
            if isinstance(cause, ForbiddenAddressError):
                raise UnexpectedResponse(str(cause)) from error
            if cause.errno in _OURS:
                raise LocalResourceError(f"{where} cannot be asked now: {no_connection(error)}") from error
            raise Unavailable(f"cannot connect to {where}: {no_connection(error)}") from error
        except aiohttp.ClientHttpProxyError as error:
            raise Unavailable(f"cannot connect to {where}: the proxy {self._proxy} answered {error.status}") from error
        except ForbiddenAddressError as error:
            raise UnexpectedResponse(str(error)) from error
        except MisplacedHostError as error:
            raise Unavailable(f"cannot connect to {where}: {error}") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise Unavailable(f"{where} broke off: {type(error).__name__}") from error

    async def close(self) -> None:
        self._is_closed = True
        for session in self._sessions.values():
            await session.close()

    def _settle(self, response: aiohttp.ClientResponse) -> None:
        """Determine where the host lives from where it answers, not from what a name server says; a proxy's address tells nothing."""
        is_direct = self._host.proxy is None and response.url.host == self._home.host
        if is_direct and isinstance(response, _Response) and response.peer is not None:
            self._guard.settle(response.peer)

    def _session(self, pool: Pool) -> aiohttp.ClientSession:
        session = self._sessions.get(pool)
        if session is None:
            connector = aiohttp.TCPConnector(
                limit=0, ssl=context_of(self._host.tls), resolver=GuardedResolver(self._guard), ttl_dns_cache=10
            )
            session = self._sessions[pool] = aiohttp.ClientSession(
                connector=connector,
                response_class=_Response,
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": f"regproxy/{__version__}", "Accept-Encoding": "identity"},
                auto_decompress=False,
                requote_redirect_url=False,
                read_bufsize=_BUFFER if pool is Pool.BLOB else _SMALL_BUFFER,
                max_line_size=_FIELD_LIMIT,
                max_field_size=_FIELD_LIMIT,
            )
        return session


async def _finish(response: aiohttp.ClientResponse) -> None:
    """Read what is left of a short body: only then may the connection be used again."""
    most, seconds = _REST_OF_A_BODY
    if not response.closed and response.content_length is not None and response.content_length <= most:
        with suppress(aiohttp.ClientError, TimeoutError):
            async with asyncio.timeout(seconds):
                await response.read()


@asynccontextmanager
async def paused(response: aiohttp.ClientResponse) -> AsyncIterator[None]:
    """Suspend the deadline of a response."""
    deadline = response.deadline if isinstance(response, _Response) else None
    async with deadline.paused() if deadline is not None else nullcontext():
        yield


async def read_at_most(
    response: aiohttp.ClientResponse,
    limit: int,
    what: str,
    over: Callable[[str], UpstreamError] = UnexpectedResponse,
    room: AsyncExitStack | None = None,
) -> bytes:
    """Read a body of at most *limit* bytes; raise *over* at the first byte beyond.

    One that turns out to be large waits for memory, which is its own until *room* is left.
    """
    body, is_large = bytearray(), False
    async for chunk in response.content.iter_any():
        if room is not None and not is_large and len(body) + len(chunk) > large.LARGE:
            async with paused(response):
                await room.enter_async_context(large.held(min(response.content_length or limit, limit)))
            is_large = True
        body += chunk
        if len(body) > limit:
            raise over(f"{response.url.host} sent {what} of more than {limit} bytes")
    return bytes(body)


def _names(realms: frozenset[str]) -> set[str]:
    return {URL(f"//{realm}").host or "" for realm in realms}
