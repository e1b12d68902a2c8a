"""Authorization for the requests to one host (distribution, token authentication; RFC 7617).

A token is asked for once per realm, service and scope, however many requests wait for it; after the first challenge of an origin it is
sent with every request, so that no further one makes an unauthorised round trip. Our credential goes to token services only where
`is_allowed_realm` says so, and never along a redirect.
"""

import base64
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass

from cachetools import LRUCache
from yarl import URL

from regproxy import metrics
from regproxy.flights import Flights
from regproxy.oci.challenge import Challenge, Scope, parse_scopes
from regproxy.oci.retry_after import parse_retry_after
from regproxy.policy.routing import Credential, Host, Secret
from regproxy.ports import Corrupt, Refused, Throttled, Unavailable
from regproxy.upstream.connections import Connections, Pool, read_at_most
from regproxy.upstream.realm import is_allowed_realm

_LIMIT = 256 * 1024  # a token is a few KiB; a larger answer is an attack
_KEPT = 10_000  # tokens in memory; one is about 3 KiB
# distribution, token.md: 60 s where the service says nothing; quay says nothing and means an hour, and a token rejected early is renewed.
_DEFAULT_LIFE = 300.0
_SHORTEST_LIFE, _LONGEST_LIFE = 60.0, 12 * 3600.0
_MARGIN = 0.9  # of its life a token is used; the rest is for clocks and for requests on their way


@dataclass(frozen=True, slots=True)
class Token:
    """A value for the Authorization header, and until when it is good (monotonic seconds)."""

    value: Secret
    expires_at: float


@dataclass(frozen=True, slots=True)
class Demand:
    """What a token is asked by; tokens of different demands are never mixed."""

    realm: URL
    service: str
    scopes: tuple[str, ...]
    credential: Credential | None


class Tokens:
    """The tokens of one host and of the places it redirects to."""

    def __init__(self, upstream: str, host: Host, connections: Connections) -> None:
        """Know nothing; the first challenge tells."""
        self._upstream = upstream
        self._host = host
        self._home = URL(host.url).origin()
        self._connections = connections
        self._challenges: LRUCache[URL, Challenge] = LRUCache(64)
        self._tokens: LRUCache[Demand, Token] = LRUCache(_KEPT)
        self._flights: Flights[Demand, Token] = Flights()

    async def authorization(self, url: URL, name: str) -> str | None:
        """Give the header for a request about repository *name*, as far as this origin's challenge is known."""
        challenge = self._challenges.get(url.origin())
        return None if challenge is None else await self._authorize(challenge, url, name, rejected=None)

    async def answer(self, challenges: Sequence[Challenge], url: URL, name: str, rejected: str | None) -> str:
        """Answer a 401 of *url*; *rejected* is the header that was sent. Raise `UpstreamError` where there is no answer."""
        challenge = next((one for scheme in ("bearer", "basic") for one in challenges if one.scheme == scheme), None)
        if challenge is None:
            raise Refused(f"{url.host} refused {self._upstream}/{name} (401) and named no way to log in")
        self._challenges[url.origin()] = challenge
        header = await self._authorize(challenge, url, name, rejected)
        if header is None:
            raise Refused(f"{url.host} wants a user for {self._upstream}/{name} (401): set credentials for {self._upstream}")
        return header

    async def close(self) -> None:
        await self._flights.close()

    async def _authorize(self, challenge: Challenge, url: URL, name: str, rejected: str | None) -> str | None:
        credential = self._host.credential if url.origin() == self._home else None
        if challenge.scheme == "basic":
            header = _basic(credential) if credential else None
            if header is not None and header == rejected:
                raise Refused(f"{url.host} refused our credentials for {self._upstream}/{name} (401)")
            return header
        demand = self._demand(challenge, url, name, credential)
        token = self._tokens.get(demand)
        if token is None or token.expires_at <= time.monotonic() or _bearer(token) == rejected:
            token = await self._flights.join(demand, lambda: self._exchange(demand))
        return _bearer(token)

    def _demand(self, challenge: Challenge, url: URL, name: str, credential: Credential | None) -> Demand:
        try:
            realm = url.join(URL(challenge.realm))
            allowed = bool(challenge.realm) and is_allowed_realm(realm, url, self._host.realms)
        except ValueError:
            allowed = False
        if not allowed:
            raise Corrupt(
                f"{url.host} names a token service that is not its own, {challenge.realm[:200]!r}: "
                f"if it is right, add its host to realms of {self._upstream}"
            )
        return Demand(realm, challenge.service, _scopes(challenge, name), credential)

    async def _exchange(self, demand: Demand) -> Token:
        outcome = "error"
        try:
            token = await self._ask(demand)
            outcome = "ok"
        except Refused:
            outcome = "refused"
            raise
        finally:
            metrics.TOKEN_REQUESTS.labels(self._upstream, outcome).inc()
        self._tokens[demand] = token
        return token

    async def _ask(self, demand: Demand) -> Token:
        query = [("service", demand.service)] if demand.service else []
        query += [("scope", scope) for scope in demand.scopes]
        headers = {"Accept": "application/json"}
        if demand.credential:
            headers["Authorization"] = _basic(demand.credential)
            query.append(("account", demand.credential.username))
        url = demand.realm.extend_query(query)
        async with self._connections.request(Pool.TOKEN, "GET", url, headers) as response:
            if response.status != 200:
                raise self._refusal(response.status, response.headers.get("Retry-After"), demand)
            with self._connections.translated(url):
                body = await read_at_most(response, _LIMIT, "a token")
        return _read_token(body, demand.realm.host or "")

    def _refusal(self, status: int, retry_after: str | None, demand: Demand) -> Exception:
        service, scopes = demand.realm.host, " ".join(demand.scopes)
        if status in {400, 401, 403, 404}:
            whose = "our credentials" if demand.credential else "an anonymous token"
            return Refused(
                f"the token service {service} refused {whose} for {self._upstream} {scopes} ({status}): no access, or no such thing"
            )
        if status == 429:
            return Throttled(f"the token service {service} throttles us (429)", parse_retry_after(retry_after, time.time()))
        return Unavailable(f"the token service {service} answered {status}")


def _read_token(body: bytes, service: str) -> Token:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise Corrupt(f"the token service {service} did not answer with JSON")
    value = document.get("token") or document.get("access_token")
    if not isinstance(value, str) or not value.isascii() or not value.isprintable() or " " in value:
        raise Corrupt(f"the token service {service} answered without a token")
    life = document.get("expires_in")
    seconds = float(life) if isinstance(life, int | float) and life > 0 else _DEFAULT_LIFE
    return Token(Secret(value), time.monotonic() + _MARGIN * min(max(seconds, _SHORTEST_LIFE), _LONGEST_LIFE))


def _scopes(challenge: Challenge, name: str) -> tuple[str, ...]:
    """Ask for *name* in the way this origin wants: its own words where they fit, the same words for another repository."""
    scopes = parse_scopes(challenge.scope)
    if any(scope.startswith("repository:") for scope in scopes):
        return (str(Scope.pull(name)),)
    return tuple(scopes) or (str(Scope.pull(name)),)


def _bearer(token: Token) -> str:
    return f"Bearer {token.value.value}"


def _basic(credential: Credential) -> str:
    pair = f"{credential.username}:{credential.password.value}"
    return "Basic " + base64.b64encode(pair.encode()).decode()
