"""One address of an upstream: requests with the right token, redirects hop by hop, statuses into our errors."""

import asyncio
import time
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from typing import assert_never
from urllib.parse import quote

import aiohttp
from yarl import URL

from regproxy.chain import chain
from regproxy.config import Timeouts
from regproxy.oci.errors import parse_error, told_reason
from regproxy.oci.http.challenge import parse_challenges
from regproxy.oci.http.ratelimit import parse_rate_limit
from regproxy.oci.http.retry_after import parse_retry_after
from regproxy.oci.http.via import format_via
from regproxy.policy.routing import Host, HostKind, Trust
from regproxy.policy.upstream.namespace import misdirection
from regproxy.policy.upstream.verdicts import REDIRECTS, Meaning, client_code, client_status, meaning
from regproxy.ports import (
    Corrupt,
    Fleet,
    InvalidContent,
    LocalResourceError,
    NotFound,
    Refused,
    Rejected,
    Throttled,
    Unavailable,
    UnexpectedResponse,
    UpstreamError,
    detached,
)
from regproxy.telemetry import metrics, tracing
from regproxy.upstream.auth.tokens import Tokens
from regproxy.upstream.connections import Connections, Deadline, Pool, read_at_most
from regproxy.upstream.hosts.bandwidth import Line
from regproxy.upstream.location import next_hop, place, shown
from regproxy.upstream.request import HostRequest
from regproxy.upstream.throttle import Throttle, Throttles

_MOST_HOPS = 10  # as containerd
_SMALL = 2.0  # times the seconds to the head of an answer are enough for all of one that is small: a manifest, a list
_REASON = 16 * 1024, 0.5  # bytes and seconds that the reason for a refusal is worth
_OUTCOMES: Mapping[type[UpstreamError], str] = {
    NotFound: "not_found",
    Refused: "refused",
    Rejected: "rejected",
    InvalidContent: "invalid",
    Throttled: "throttled",
    Unavailable: "unavailable",
    LocalResourceError: "not_asked",
    UnexpectedResponse: "unexpected",
    Corrupt: "corrupt",
}


class HostClient:
    """Asks one host."""

    def __init__(
        self, upstream: str, host: Host, timeouts: Timeouts, fleet: Fleet, aliases: Collection[str] = (), line: Line | None = None
    ) -> None:
        """Open nothing yet; *aliases* are other names of the upstream, and what it sends is charged to *line*."""
        self.line = line
        self.host = host
        self.upstream = upstream
        label = metrics.upstream_label(upstream)
        self.labels = label, label if host.is_of_pattern else str(host)
        self.under_way = 0  # requests
        self.used_at = time.monotonic()  # when one began or ended
        self.refusal = ""  # why it is not asked; empty where it is
        self._aliases = aliases
        self.connections = Connections(host, timeouts)
        self._small_within = _SMALL * timeouts.head
        self._tokens = Tokens(upstream, host, self.connections, fleet)
        self._home = URL(host.url).origin()
        self.throttles = Throttles(str(host), str(self._home), (Pool.MANIFEST, Pool.LIST, Pool.BLOB))

    @asynccontextmanager
    async def ask(self, request: HostRequest) -> AsyncIterator[aiohttp.ClientResponse]:
        """Get a successful answer; raise `UpstreamError` for every other."""
        outcome = "ok"
        self.under_way += 1
        self.used_at = time.monotonic()
        try:
            if self.refusal:
                raise LocalResourceError(f"{self.host} is not asked: {self.refusal}")
            async with self._hops(request) as response:
                if not request.expects(response.status):
                    await self._judge(response, request)
                yield response
        except UpstreamError as error:
            outcome = _OUTCOMES[type(error)]
            raise
        finally:
            self.under_way -= 1
            self.used_at = time.monotonic()
            metrics.UPSTREAM_REQUESTS.labels(*self.labels, request.pool.value, outcome).inc()

    async def identity(self, name: str) -> tuple[str, str]:
        """Name who we are for a repository, and the token service that is asked about it, if one is known."""
        return await self._tokens.identity(self._name(name))

    async def login(self) -> bool | None:
        """Report whether who asks is known to the host; None where that does not tell. Raise `UpstreamError`."""
        return await self._tokens.login()

    @property
    def refused_credentials(self) -> str:
        """Return why our credentials are refused; empty where they are not."""
        return self._tokens.refused_credentials

    async def close(self) -> None:
        await self._tokens.close()
        await self.connections.close()

    def elsewhere(self, url: URL) -> str | None:
        """Name the origin of *url* if it is not the host's own."""
        return None if url.origin() == self._home else str(url.origin())

    @asynccontextmanager
    async def _hops(self, request: HostRequest) -> AsyncIterator[aiohttp.ClientResponse]:
        """Follow redirects; what comes after a foreign hop gets no credential of ours, not even back at home.

        A signed address that is refused may have expired on the way to us: home is asked for another one, once.
        """
        name = self.host.repository(request.name)
        if name is None:
            raise NotFound(f"{self.host} cannot have {self.upstream}/{request.name}: what `rewrite` makes of it is no name of a repository")
        home = url = URL(f"{self._home}/v2/{name}/{self._addressed(request.rest)}", encoded=True)
        deadline = Deadline(self._small_within) if request.pool is not Pool.BLOB else None
        at_home, may_ask_again = True, True
        for _ in range(_MOST_HOPS + 1):
            async with self._hop(request, url, name, deadline, at_home=at_home) as response:
                if url.origin() == self._home:
                    self._check_namespace(request, response)
                location = response.headers.get("Location", "")
                is_expired = may_ask_again and url != home and response.status == 403 and request.method == "GET"
                if not is_expired and (response.status not in REDIRECTS or not location):
                    yield response
                    return
            if is_expired:
                url, at_home, may_ask_again = home, True, False
                continue
            target = next_hop(url, location)
            if target is None:
                raise UnexpectedResponse(f"{url.host} redirected us to {shown(location)}, where we do not go")
            url = target
            at_home = at_home and url.origin() == self._home
        raise UnexpectedResponse(f"{self.host} redirected us more than {_MOST_HOPS} times for {self.upstream}/{request.name}")

    @asynccontextmanager
    async def _hop(
        self, request: HostRequest, url: URL, name: str, deadline: Deadline | None, *, at_home: bool
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Ask one origin, if its own throttle lets us; what goes wrong there is said to be its own."""
        throttle = self.throttles.of(request.pool, str(url.origin()))
        with tracing.span(f"{request.method} {request.pool.value} upstream", tracing.SpanKind.CLIENT) as span:
            span.annotate(http__request__method=request.method, server__address=url.host or "", regproxy__upstream=self.upstream)
            # The trace is the registry's to know; whom it redirects us to gets nothing that is not in the address.
            trace = span.trace.headers() if span.trace is not None and url.origin() == self._home else {}
            try:
                async with throttle.passed(), self._authorized(request, url, name, deadline, trace, at_home=at_home) as response:
                    self._note_limits(response, throttle)
                    span.annotate(http__response__status_code=response.status)
                    if response.status >= 400:
                        span.fail(str(response.status))
                    yield response
            except UpstreamError as error:
                error.origin = self.elsewhere(url)
                raise

    @asynccontextmanager
    async def _authorized(
        self, request: HostRequest, url: URL, name: str, deadline: Deadline | None, trace: Mapping[str, str], *, at_home: bool
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send one hop; a 401 is answered once, with a token for that very origin."""
        may_authorize = at_home or url.origin() != self._home
        header = await self._tokens.authorization(url, name) if may_authorize else None
        for is_last in (not may_authorize, True):
            authorization = {"Authorization": header} if header else {}
            via = {"Via": format_via(hops)} if url.origin() == self._home and (hops := chain.get()) else {}
            own = self.connections.own_headers(url) if may_authorize else {}
            headers = {**own, **request.headers, **authorization, **via, **trace}
            sent = self.connections.request(request.pool, request.method, url, headers, request.connect, deadline=deadline)
            async with sent as response:
                if response.status < 400:
                    self._tokens.accepted(url, header)
                if response.status != 401 or is_last:
                    yield response
                    return
                challenges = parse_challenges(response.headers.getall("WWW-Authenticate", []))
            header = await self._tokens.answer(challenges, url, name, rejected=header)

    def _addressed(self, rest: str) -> str:
        """Name the registry that is meant to a host that serves several."""
        path, _, query = rest.partition("?")
        parameters = [each for each in query.split("&") if each and each.partition("=")[0] != "ns"]
        if self.host.kind is HostKind.CACHE:
            parameters.append(f"ns={quote(self.upstream, safe='')}")
        return f"{path}?{'&'.join(parameters)}" if parameters else path

    def _check_namespace(self, request: HostRequest, response: aiohttp.ClientResponse) -> None:
        """Raise `UnexpectedResponse` where an answer may be about another registry, and nothing else would show that."""
        if Trust.RESOLVE not in self.host.trust or (request.is_verified and response.status < 400):
            return
        headers = response.headers
        is_regproxy = headers.get("Server", "") == "regproxy" or "regproxy" in headers.get("Cache-Status", "")
        namespaces = headers.getall("OCI-Namespace", [])
        why = misdirection(self.host, self.upstream, self._aliases, namespaces, response.status, is_regproxy=is_regproxy)
        if why is not None:
            raise UnexpectedResponse(why)

    def _note_limits(self, response: aiohttp.ClientResponse, throttle: Throttle) -> None:
        headers, is_refused = response.headers, response.status == 429
        quota = parse_rate_limit(headers.get("ratelimit-limit"), headers.get("ratelimit-remaining"), headers.get("docker-ratelimit-source"))
        if quota is not None and self.elsewhere(response.url) is None:
            metrics.RATELIMIT_REMAINING.labels(*self.labels).set(quota.remaining)
        pause = parse_retry_after(headers.get("Retry-After"), time.time()) if is_refused else None
        throttle.note(quota, refused=is_refused, asked_for=pause)

    async def _judge(self, response: aiohttp.ClientResponse, request: HostRequest) -> None:
        """Raise what a response means; where our credential is refused, a no to nobody is none to us and tells nothing of what is there."""
        try:
            await self._check(response, request)
        except (NotFound, Refused) as error:
            refusal = await self._tokens.refusal(response.url, self._name(request.name))
            if refusal is None or response.url.origin() != self._home:
                raise
            raise detached(refusal) from error

    async def _check(self, response: aiohttp.ClientResponse, request: HostRequest) -> None:
        """Raise what a response means that is no success."""
        status, where, what = response.status, place(response.url), f"{self.upstream}/{request.subject}"
        match meaning(status):
            case Meaning.SUCCESS:
                return
            case Meaning.UNEXPECTED:
                raise UnexpectedResponse(f"{where} answered {status} for {what}")
            case Meaning.NOT_FOUND:
                code, _ = await self._reason(response, request.name)
                raise NotFound(f"{where} has no {what} (404)", is_repository=code == "NAME_UNKNOWN")
            case Meaning.REFUSED:
                whom = "our credentials" if self.host.has_credentials else "us"
                _, reason = await self._reason(response, request.name)
                raise Refused(f"{where} refused {whom} for {what} ({status}){reason}")
            case Meaning.REJECTED:
                code, reason = await self._reason(response, request.name)
                message = f"{where} answered {status} for {what}{reason}"
                raise Rejected(message, client_status(status), client_code(status, code))
            case Meaning.THROTTLED:
                raise Throttled(f"{where} throttles us (429)", self.throttles.of(request.pool, str(response.url.origin())).pause)
            case Meaning.LOOP:
                raise Unavailable(f"{where} asks us, or somebody who asks us, for {what} (508): caches must not be each other's only host")
            case Meaning.OUTAGE:
                is_cache = self.host.kind is HostKind.CACHE  # what failed is behind it; nobody else's body is worth the wait
                _, reason = await self._reason(response, request.name) if is_cache else ("", "")
                raise Unavailable(f"{where} answered {status} for {what}{reason}", timed_out=status == 408, answered=True)
            case _ as never:
                assert_never(never)

    async def _reason(self, response: aiohttp.ClientResponse, name: str) -> tuple[str, str]:
        """Read the OCI error code and, after a colon, the message of a refusal; empty where there is none, or where it shows a secret."""
        most, seconds = _REASON
        code = message = ""
        try:
            async with asyncio.timeout(seconds):
                code, message = parse_error(await read_at_most(response, most, "a reason"))
                if message and await self._shows_secret(message, response, name):
                    message = ""
        except (UpstreamError, aiohttp.ClientError, OSError, TimeoutError):
            message = ""
        return code, f": {told}" if (told := told_reason(message)) else ""

    async def _shows_secret(self, message: str, response: aiohttp.ClientResponse, name: str) -> bool:
        """Report whether a message, before any of it is left out, shows what we sent."""
        sent = response.request_info.headers.get("Authorization", "").partition(" ")[2]
        secrets = [each for each in (sent, *(value.value for _, value in self.host.headers)) if each]
        return any(each in message for each in secrets) or await self._tokens.tells_secret(message, self._name(name))

    def _name(self, name: str) -> str:
        return self.host.repository(name) or name
