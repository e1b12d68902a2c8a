"""Authorization for the requests to one host (distribution, token authentication; RFC 7617).

A token is asked for once per realm, service, scope and credential, however many requests wait for it, and so is the news that there is
none. After the first challenge of an origin it is sent with every request, so that no further one makes an unauthorised round trip, and
it is renewed behind the requests before it ends. Our credential goes to token services only where `is_allowed_realm` says so, and never
along a redirect.
"""

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from cachetools import LRUCache
from yarl import URL

from regproxy.flights import Flights
from regproxy.oci.http.challenge import Challenge
from regproxy.policy.clock import WallClock
from regproxy.policy.credential import Credential, CredentialKind
from regproxy.policy.routing import Host
from regproxy.policy.upstream.tokens import SETTLED_AFTER, Token
from regproxy.ports import Fleet, Refused, UnexpectedResponse, UpstreamError, detached
from regproxy.sized_cache import SizedCache
from regproxy.telemetry import metrics
from regproxy.upstream.auth.credential_state import CredentialState
from regproxy.upstream.auth.credentials import Credentials
from regproxy.upstream.auth.failures import Failures
from regproxy.upstream.auth.realm import is_allowed_realm
from regproxy.upstream.auth.token_service import TokenRequest, TokenService, basic, presented, scopes_for
from regproxy.upstream.clouds.made import source_of
from regproxy.upstream.connections import Connections
from regproxy.upstream.location import shown

_MAX_TOKENS_BYTES = 8 * 1024 * 1024  # of one host, in memory; a token is about 3 KiB
_ENTRY = 1024  # bytes of a token and its request beside their texts
_MAX_REPLACED = 4_000
_MAX_SENT = 64  # credentials of one host that are sent as they are


class Tokens:
    """The tokens of one host and of the places it redirects to."""

    def __init__(
        self,
        upstream: str,
        host: Host,
        connections: Connections,
        fleet: Fleet,
        clock: WallClock = time.time,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """Start without a scheme; the first challenge names it."""
        self._upstream = upstream
        self._host = host
        self._home = URL(host.url).origin()
        self._credentials = Credentials(host, source=source_of(host, fleet, clock, chance))
        self._service = TokenService(upstream, connections, clock, chance)
        self._connections = connections
        self._fleet = fleet
        self._clock = clock
        self._challenges: LRUCache[URL, Challenge] = LRUCache(64)
        self._tokens: SizedCache[TokenRequest, Token] = SizedCache(_MAX_TOKENS_BYTES)
        self._state = CredentialState(upstream, str(host), clock)
        self._failures = Failures(clock, self._login, self._state)
        self._replaced: LRUCache[TokenRequest, float] = LRUCache(_MAX_REPLACED)  # when a rejected token was last replaced
        self._flights: Flights[TokenRequest, Token] = Flights()
        self._sent: LRUCache[tuple[URL, str], TokenRequest] = LRUCache(_MAX_SENT)  # what is sent as it is

    async def authorization(self, url: URL, name: str) -> str | None:
        """Return the header for a request about repository *name*, as far as this origin's challenge is known."""
        challenge = self._challenges.get(url.origin())
        return None if challenge is None else await self._authorize(challenge, url, name, rejected=None)

    async def answer(self, challenges: Sequence[Challenge], url: URL, name: str, rejected: str | None) -> str | None:
        """Answer a 401 of *url*; *rejected* is the header that was sent. Raise `UpstreamError` where there is no answer.

        None is an answer to a credential that was refused: without one, what is public may be had all the same.
        """
        challenge = next((one for scheme in ("bearer", "basic") for one in challenges if one.scheme == scheme), None)
        if challenge is None:
            raise Refused(f"{url.host} refused {self._upstream}/{name} (401) and named no way to log in")
        self._challenges[url.origin()] = challenge
        header = await self._authorize(challenge, url, name, rejected)
        if header is None and rejected is None:
            raise await self.refusal(url, name) or Refused(
                f"{url.host} wants a user for {self._upstream}/{name} (401): set credentials for {self._upstream}"
            )
        return header

    async def refusal(self, url: URL, name: str) -> UpstreamError | None:
        """Return why there is no credential for *name*, or that it is refused, so that *url* answered an anonymous request."""
        challenge = self._challenges.get(url.origin())
        try:
            credential = await self._credentials.find(name) if url.origin() == self._home else None
        except UpstreamError as error:
            return error
        if challenge is None or credential is None:
            return None
        try:
            is_bearer = challenge.scheme == "bearer"
            request = self._request(challenge, url, name, credential) if is_bearer else presented(credential, url, name)
            if (token := self._tokens.get(request)) is None or token.expires_at <= self._clock():
                self._failures.check(request)
        except Refused as refusal:
            return refusal if refusal.whatever_asked else None
        except UpstreamError:
            pass
        return None

    def accepted(self, url: URL, header: str | None) -> None:
        """Record that *url* took a header: a password that was sent as it is, is right."""
        if header is not None and (request := self._sent.get((url.origin(), header))) is not None:
            self._failures.worked(request)

    @property
    def bytes_kept(self) -> int:
        """Count what tokens take in memory."""
        return self._tokens.bytes

    @property
    def refused_credentials(self) -> str:
        """Return why our credentials are refused, or cannot be had; empty where they are taken."""
        return self._credentials.failure or self._state.reason

    async def identity(self, name: str) -> tuple[str, str]:
        """Name our credential for *name* at home, and the token service there, if one is known."""
        config, source = self._host.docker_config, self._host.credential_source
        challenge = self._challenges.get(self._home)
        whence = f" of {config.path}" if config else f" of {source.kind}" if source else " of the configuration"
        try:
            credential = await self._credentials.find(name)
            who = f"{credential.kind.value} of user {credential.username!r}{whence}" if credential else "nobody (no credentials)"
        except UpstreamError as error:
            who = f"nobody ({error})"
        return who, shown(challenge.realm, with_path=True) if challenge and challenge.scheme == "bearer" else ""

    async def login(self) -> bool | None:
        """Report whether the credential for everything is right, as `docker login` finds out; None where that does not tell."""
        credential = await self._credentials.find("")
        challenge = self._challenges.get(self._home) or await self._service.first_challenge(self._home)
        if credential is None or challenge is None:
            return None
        try:
            is_bearer = challenge.scheme == "bearer"
            request = self._request(challenge, self._home, "", credential) if is_bearer else presented(credential, self._home, "")
            return await self._login(request, ())
        except UpstreamError:
            return None

    async def tells_secret(self, text: str, name: str) -> bool:
        """Report whether *text* shows our credential for *name*."""
        try:
            credential = await self._credentials.find(name)
        except UpstreamError:
            return False  # nothing was sent
        return credential is not None and credential.password.value in text

    async def close(self) -> None:
        await self._flights.close()
        await self._credentials.close()

    async def _authorize(self, challenge: Challenge, url: URL, name: str, rejected: str | None) -> str | None:
        try:
            credential = await self._credentials.find(name) if url.origin() == self._home else None
        except UpstreamError as error:
            if challenge.scheme == "basic":
                raise
            return await self._anonymous(challenge, url, name, rejected, error)
        try:
            return await self._authorize_as(credential, challenge, url, name, rejected)
        except Refused as refusal:
            if credential is None or not refusal.whatever_asked:
                raise
            if (other := await self._replacement(credential, name)) is not None:
                return await self._authorize_as(other, challenge, url, name, rejected)
            if challenge.scheme == "basic":
                return None
            self._tokens.pop(self._request(challenge, url, name, credential))  # it was rejected, or its time is over
            return await self._anonymous(challenge, url, name, rejected, refusal)

    async def _authorize_as(
        self, credential: Credential | None, challenge: Challenge, url: URL, name: str, rejected: str | None
    ) -> str | None:
        if credential is not None and (challenge.scheme == "basic" or credential.kind is CredentialKind.REGISTRY):
            return await self._present(credential, url, name, rejected)
        if challenge.scheme == "basic":
            return None
        return (await self._token(self._request(challenge, url, name, credential), rejected)).bearer()

    async def _replacement(self, refused: Credential, name: str) -> Credential | None:
        """Return another credential than one that was refused, where its source issues one."""
        try:
            other = await self._credentials.replacement(refused, name)
        except UpstreamError:
            return None  # the source says why
        if other is not None:
            self._state.withdrawn(refused)
        return other

    async def _anonymous(self, challenge: Challenge, url: URL, name: str, rejected: str | None, failure: UpstreamError) -> str:
        """Request without the credential that failed: public images need none. Raise *failure* where that gets no token either."""
        try:
            return (await self._token(self._request(challenge, url, name, None), rejected)).bearer()
        except Refused:
            raise detached(failure) from None

    async def _present(self, credential: Credential, url: URL, name: str, rejected: str | None) -> str:
        """Send a credential as it is; what was refused a moment ago is not sent again, for accounts are locked that way."""
        is_token = credential.kind is CredentialKind.REGISTRY
        header = f"Bearer {credential.password.value}" if is_token else basic(credential)
        request = presented(credential, url, name)
        if header == rejected:
            # A token may be for other repositories; a password is for all of them.
            refusal = Refused(f"{url.host} refused our credentials for {self._upstream}/{name} (401)", whatever_asked=not is_token)
            await self._failures.refused(request, refusal, self._failures.number())
        self._failures.check(request)
        self._sent[url.origin(), header] = request
        return header

    async def _login(self, request: TokenRequest, scopes: tuple[str, ...]) -> bool | None:
        """Try a credential that was refused as `docker login` does, and then by *scopes* it had before."""
        if request.realm == self._home and not request.service:
            return await self._service.ping(request)
        found: list[bool | None] = []
        for asked in ((), scopes) if scopes else ((),):
            try:
                await self._ask(replace(request, scopes=asked))
            except Refused as refusal:
                found.append(False if refusal.whatever_asked else None)
            except UpstreamError:
                found.append(None)
            else:
                return True
        return None if None in found else False

    def _request(self, challenge: Challenge, url: URL, name: str, credential: Credential | None) -> TokenRequest:
        try:
            realm = url.join(URL(challenge.realm))
            allowed = bool(challenge.realm) and is_allowed_realm(realm, url, self._host.realms)
        except ValueError:
            allowed = False
        if not allowed:
            raise UnexpectedResponse(
                f"{url.host} names a token service that is not its own, {shown(challenge.realm)!r}: "
                f"if it is right, add its host to realms of {self._upstream}"
            )
        return TokenRequest(realm, challenge.service, scopes_for(challenge, name), credential)

    async def _token(self, request: TokenRequest, rejected: str | None) -> Token:
        token, now = self._tokens.get(request), self._clock()
        is_rejected = token is not None and token.bearer() == rejected
        if token is None or token.expires_at <= now or is_rejected:
            self._failures.check(request)
            if is_rejected and now < self._replaced.get(request, 0.0) + SETTLED_AFTER:
                raise Refused(f"{self._host} refuses fresh tokens for {request}: no access, or no such thing")
            return await self._flights.join(request, lambda: self._exchange(request, token, is_replacement=is_rejected))
        if token.renew_at <= now and not self._failures.is_noted(request):
            self._flights.start(request, lambda: self._exchange(request, token))
        return token

    async def _exchange(self, request: TokenRequest, old: Token | None, *, is_replacement: bool = False) -> Token:
        """Get a token other than *old*: another replica's if there is one, or else the service's."""
        key = request.key(f"{self._upstream} {self._host}")
        async with self._fleet.lock(f"token {self._upstream} {request}"):
            token = await self._fleet.token(key)
            if token is None or token.renew_at <= self._clock() or (old is not None and token.value == old.value):
                async with self._failures.noted(request):
                    token = await self._ask(request)
                self._fleet.put_token(key, token)
        self._tokens.put(request, token, len(token.value.value) + request.size + _ENTRY)
        if is_replacement:
            self._replaced[request] = self._clock()
        return token

    async def _ask(self, request: TokenRequest) -> Token:
        outcome = "error"
        try:
            token = await self._service.ask(request)
            outcome = "ok"
        except Refused:
            outcome = "refused"
            raise
        finally:
            metrics.TOKEN_REQUESTS.labels(self._upstream, outcome).inc()
        return token
