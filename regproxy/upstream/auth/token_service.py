"""Asking a token service: the forms a request may take, and what is made of the answer.

distribution, docs/content/spec/auth: token.md (GET with Basic) and oauth.md (POST with a form). GET is asked first: Azure and Google
answer a password's form with 400 and 404. An identity token has only the form.
"""

import base64
import hashlib
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
from cachetools import LRUCache
from yarl import URL

from regproxy.asker import asker
from regproxy.oci.http.challenge import Challenge, Scope, parse_challenges, parse_scopes
from regproxy.oci.http.retry_after import parse_retry_after
from regproxy.policy.clock import WallClock
from regproxy.policy.credential import Credential, CredentialKind, Secret
from regproxy.policy.upstream import tokens
from regproxy.policy.upstream.tokens import Token
from regproxy.ports import Refused, Throttled, Unavailable, UnexpectedResponse, UpstreamError
from regproxy.telemetry import tracing
from regproxy.upstream.connections import Connections, Deadline, Pool, read_at_most
from regproxy.upstream.location import next_hop, shown

_MAX_ANSWER_BYTES = 64 * 1024  # a token, a second name for it and a refresh token, a few KiB each; a larger answer is an attack
_MAX_HOPS = 3  # of a token service to itself
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MAX_SERVICES = 64  # whose way of answering is remembered; a registry names them
_MAX_OTHER_SCOPES = 1024  # characters of what a challenge asks us to ask for beside the repository
_READING = frozenset({"pull", "metadata_read"})  # what a challenge may ask us to ask for; Azure lists tags only with metadata_read
_UNAUTHORIZED, _SERVER_ERROR = 401, 500
_OTHER_METHOD = frozenset({404, 405})  # oauth.md: a service without this form


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """What a token is asked by; tokens of different demands are never mixed."""

    realm: URL
    service: str
    scopes: tuple[str, ...]
    credential: Credential | None

    def key(self, sender: str) -> Secret:
        """Return a key for caching tokens: all of the request, its *sender*, and the credential's secret."""
        whose = self.credential
        who = [whose.kind.value, whose.username, whose.password.value] if whose else []
        key = json.dumps([sender, str(self.realm), self.service, self.scopes, who])
        return Secret(key if asker.get() is None else hashlib.sha256(key.encode()).hexdigest())  # a client's password lies nowhere

    @property
    def size(self) -> int:
        """Count the characters in it."""
        return len(str(self.realm)) + len(self.service) + sum(map(len, self.scopes))

    def __str__(self) -> str:
        return f"{self.realm.host} {' '.join(self.scopes)}"


@dataclass(slots=True)
class _Outcomes:
    """How many requests to one origin were answered in full, and how many were not in time."""

    answered: int = 0
    timed_out: int = 0

    def is_silent_since(self, answered: int, timed_out: int) -> bool:
        """Whether since those counts nobody was answered, and somebody waited in vain."""
        return self.answered == answered and self.timed_out > timed_out


class TokenService:
    """Asks for tokens on behalf of one upstream."""

    def __init__(self, upstream: str, connections: Connections, clock: WallClock, chance: Callable[[], float]) -> None:
        """Ask through *connections*; *clock* returns epoch seconds, and *chance* spreads renewals."""
        self._upstream = upstream
        self._connections = connections
        self._clock = clock
        self._chance = chance
        self._outcomes: LRUCache[URL, _Outcomes] = LRUCache(_MAX_SERVICES)

    async def ask(self, request: TokenRequest) -> Token:
        """Exchange the request for a token; raise `UpstreamError`."""
        status, body = await self._answer(request)
        if not 200 <= status < 300:
            raise self._refusal(status, body, request)
        return self._read(body, request.realm.host or "")

    async def first_challenge(self, home: URL) -> Challenge | None:
        """Return how the host at *home* wants to be logged in to; None where it asks for nothing."""
        url = home / "v2/"
        async with self._connections.request(Pool.TOKEN, "GET", url, self._connections.own_headers(url)) as response:
            challenges = parse_challenges(response.headers.getall("WWW-Authenticate", []))
            return next((each for each in challenges if response.status == _UNAUTHORIZED and each.scheme in {"bearer", "basic"}), None)

    async def ping(self, request: TokenRequest) -> bool | None:
        """Try a password at the host's `/v2/`, which is no evidence where that needs none."""
        found = []
        for header in ({}, {"Authorization": basic(request.credential)} if request.credential else {}):
            try:
                url = request.realm / "v2/"
                headers = {**self._connections.own_headers(url), **header}
                async with self._connections.request(Pool.TOKEN, "GET", url, headers) as response:
                    found.append(response.status)
            except UpstreamError:
                return None
            if not header and found != [_UNAUTHORIZED]:
                return None
        return None if found[1] >= _SERVER_ERROR else found[1] != _UNAUTHORIZED

    async def _answer(self, request: TokenRequest) -> tuple[int, bytes]:
        credential = request.credential
        if credential is not None and credential.kind is CredentialKind.IDENTITY:
            return await self._post(request, {"grant_type": "refresh_token", "refresh_token": credential.password.value})
        status, body = await self._get(request)
        if credential is not None and status in _OTHER_METHOD:
            grant = {"grant_type": "password", "username": credential.username, "password": credential.password.value}
            return await self._post(request, grant)
        return status, body

    async def _get(self, request: TokenRequest) -> tuple[int, bytes]:
        query = [("service", request.service)] if request.service else []
        query += [("scope", scope) for scope in request.scopes]
        authorization = {}
        if request.credential:
            authorization["Authorization"] = basic(request.credential)
            query.append(("account", request.credential.username))
        return await self._send("GET", request.realm.extend_query(query), authorization, None)

    async def _post(self, request: TokenRequest, grant: dict[str, str]) -> tuple[int, bytes]:
        form = {"client_id": "regproxy", "service": request.service, "scope": " ".join(request.scopes), **grant}
        return await self._send("POST", request.realm, {}, form)

    async def _send(self, method: str, url: URL, headers: dict[str, str], form: dict[str, str] | None) -> tuple[int, bytes]:
        """Send, and follow redirects within the service's own origin: neither a header nor a form with a password goes anywhere else."""
        home, headers = url.origin(), {**self._connections.own_headers(url), "Accept": "application/json", **headers}
        deadline = Deadline(self._connections.token_timeout)
        for _ in range(_MAX_HOPS + 1):
            async with self._response(method, url, headers, form, deadline) as response:
                status, location = response.status, response.headers.get("Location")
                if status == 429:
                    pause = parse_retry_after(response.headers.get("Retry-After"), time.time())
                    raise Throttled(f"the token service {url.host} throttles us (429)", pause)
                if status not in _REDIRECTS or location is None:
                    with self._connections.translated(url):
                        return status, await read_at_most(response, _MAX_ANSWER_BYTES, "a token")
            target = next_hop(url, location)
            if target is None or target.origin() != home:
                raise Unavailable(f"the token service {url.host} redirected us to {shown(location)}, which is not itself ({status})")
            if status == 303 or (status in {301, 302} and method == "POST"):  # RFC 9110, 15.4
                method, form = "GET", None
            url = target
        raise Unavailable(f"the token service {url.host} redirected us more than {_MAX_HOPS} times")

    @asynccontextmanager
    async def _response(
        self, method: str, url: URL, headers: dict[str, str], form: dict[str, str] | None, deadline: Deadline
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send one request, unless those it waited for a slot behind waited for this service in vain: their failure is its own."""
        outcomes = self._outcomes.setdefault(url.origin(), _Outcomes())
        answered, timed_out, is_asked = outcomes.answered, outcomes.timed_out, False

        def recheck() -> None:
            nonlocal is_asked
            if outcomes.is_silent_since(answered, timed_out):
                raise Unavailable(f"the token service {url.host} did not answer in time", timed_out=True)
            is_asked = True

        with tracing.span("token request", tracing.SpanKind.CLIENT) as span:
            span.annotate(http__request__method=method, server__address=url.host or "", regproxy__upstream=self._upstream)
            try:
                request = self._connections.request(Pool.TOKEN, method, url, headers, form=form, deadline=deadline, recheck=recheck)
                async with request as response:
                    span.annotate(http__response__status_code=response.status)
                    if response.status >= 400:
                        span.fail(str(response.status))
                    yield response
            except Unavailable as error:
                outcomes.timed_out += is_asked and error.timed_out
                raise
        outcomes.answered += 1

    def _refusal(self, status: int, body: bytes, request: TokenRequest) -> UpstreamError:
        service, scopes = request.realm.host, " ".join(request.scopes)
        if status == 401 and request.credential and b"DENIED" not in body:  # DENIED is about what was asked for (ghcr.io, Huawei)
            return Refused(f"the token service {service} refused our credentials for {self._upstream} (401)", whatever_asked=True)
        if status in {400, 401, 403, 404, 405}:
            whose = "our credentials" if request.credential else "an anonymous token"
            return Refused(
                f"the token service {service} refused {whose} for {self._upstream} {scopes} ({status}): no access, or no such thing"
            )
        return Unavailable(f"the token service {service} answered {status}")

    def _read(self, body: bytes, service: str) -> Token:
        try:
            document = json.loads(body)
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict):
            raise UnexpectedResponse(f"the token service {service} did not answer with JSON")
        value = document.get("token") or document.get("access_token")
        if not tokens.is_token(value):
            raise UnexpectedResponse(f"the token service {service} answered without a token that can be sent")
        return tokens.issued(value, document.get("expires_in"), self._clock(), self._chance())


def basic(credential: Credential) -> str:
    """Write the value of `Authorization` (RFC 7617)."""
    pair = f"{credential.username}:{credential.password.value}"
    return "Basic " + base64.b64encode(pair.encode()).decode()


def presented(credential: Credential, url: URL, name: str) -> TokenRequest:
    """Name what is sent as it is, for whoever remembers how that went."""
    return TokenRequest(url.origin(), "", (name,), credential)


def scopes_for(challenge: Challenge, name: str) -> tuple[str, ...]:
    """Ask for *name* in the way this origin wants: the same reading of it that the challenge names for this or another repository.

    What we need comes first, since some services look no further (go-containerregistry).
    """
    scopes = parse_scopes(challenge.scope)
    named = [scope for scope in scopes if scope.startswith("repository:")]
    others = [scope for scope in scopes if scope not in named] if len(challenge.scope) <= _MAX_OTHER_SCOPES else []
    if others and not named:
        return tuple(others)
    actions = {"pull", *(action for scope in named for action in scope.rpartition(":")[2].split(","))} & _READING
    return (str(Scope("repository", name, ",".join(sorted(actions, reverse=True)))), *others)
