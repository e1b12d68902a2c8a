"""The entrance of the registry port: who asks, whether they may, and the challenge where they have yet to say who they are.

podman, skopeo and docker learn from `/v2/` how to log in, and mishandle a challenge that comes later: so `/v2/` challenges whoever shows
nothing, also where an anonymous token is all that is needed.
"""

import math
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiohttp import web

from regproxy.asker import asker
from regproxy.client import client
from regproxy.clients.admission import Admission, Unauthenticated
from regproxy.clients.proofs import Grant, Proofs, Wanted
from regproxy.clients.questions import Pull, wanted
from regproxy.oci import errors
from regproxy.oci.errors import RegistryError
from regproxy.oci.http.authority import Authority
from regproxy.oci.reference import Repository
from regproxy.policy.clients.authorization import InvalidAuthorization, parse_authorization
from regproxy.policy.clients.identity import Allowed, NeedsProof, Permission, permission
from regproxy.policy.clients.sharing import client_key
from regproxy.policy.clock import WallClock
from regproxy.policy.routing import Route, Upstream
from regproxy.ports import Answer, NotFound, Refused, Registry, UpstreamError
from regproxy.web.clients.metering import Meters
from regproxy.web.context import RequestContext
from regproxy.web.failures import upstream_failure
from regproxy.web.parameters import host_of

if TYPE_CHECKING:
    from regproxy.clients.authenticator import Authenticator

TOKEN_PATH = "/token"  # noqa: S105 -- a path
SERVICE = "regproxy"
_RETRY_AFTER = 5  # seconds


@dataclass(frozen=True, slots=True)
class Entrance:
    """Lets clients in."""

    authenticator: "Authenticator | None" = None  # None: everybody is let in, and nobody asked
    clock: WallClock = time.time
    public_url: str | None = None
    proofs: Proofs | None = None  # where an upstream wants them
    registries: Mapping[str, Registry] = field(default_factory=dict)  # those that want them
    meters: Meters | None = None  # where clients have quotas

    async def ping(self, request: web.BaseRequest, context: RequestContext) -> None:
        """Let in whoever may use regproxy; raise the challenge for others, and for who shows nothing."""
        admission = await self.admit(request, context)
        is_asked = admission.is_nobody or self.proofs is not None
        if self.authenticator is not None and is_asked and not request.headers.getall("Authorization", ()):
            raise self._challenged(request, "log in, or take an anonymous token")

    async def admit(self, request: web.BaseRequest, context: RequestContext, repository: str = "") -> Admission:
        """Return who asks, of *repository*, once its quota allows; raise `RegistryError`, a challenge where another credential would do."""
        admission = await self._known(request, context, repository)
        if self.meters is not None:
            await self.meters.enter(request, admission.client.name)
        return admission

    async def _known(self, request: web.BaseRequest, context: RequestContext, repository: str) -> Admission:
        """Return who asks; raise as `admit`."""
        if self.authenticator is None:
            return Admission()
        known = self.authenticator.generation
        client.set(address := client_key(request.remote or ""))
        try:
            presented = parse_authorization(request.headers.getall("Authorization", ()))
            admission = await self.authenticator.admit(presented, certificate_names(request), address)
        except InvalidAuthorization as error:
            raise self._challenged(request, str(error), repository) from None
        except Unauthenticated as error:
            raise self._challenged(request, str(error), repository, is_invalid_token=error.is_token) from None
        context.user = admission.client.name
        context.is_permitted = self._is_still(admission, known)
        return admission

    async def listed(self, request: web.BaseRequest, context: RequestContext) -> Callable[[Upstream, str], bool]:
        """Return what tells whether who asks may see the name of a repository; of an upstream that wants proofs nobody may."""
        client = (await self.admit(request, context)).client

        def is_listed(upstream: Upstream, name: str) -> bool:
            return permission(upstream.access, client, Repository(upstream.name, name)) == Allowed()

        return is_listed

    def check(self, admission: Admission, route: Route) -> Permission:
        """Return what it takes to pull; raise `RegistryError` where who asks may not."""
        granted = permission(route.upstream.access, admission.client, route.repository)
        if isinstance(granted, RegistryError):
            raise granted
        return granted

    async def prove(self, request: web.BaseRequest, admission: Admission, route: Route, pull: Pull, context: RequestContext) -> None:
        """Make sure that who asks has shown upstream that it may pull, where that is wanted.

        From now on upstream is asked for its sake, with its own credential. Raise `RegistryError`.
        """
        if self.authenticator is None:
            return
        asker.set(None)
        known = self.authenticator.generation
        if self.check(admission, route) == NeedsProof() and self.proofs is not None:
            what = wanted(self.registries[route.upstream.name], route.repository, pull)
            grant = await self._proven(self.proofs, request, admission, what)
            asker.set(grant.asker)
            context.is_permitted = self._is_still(admission, known, grant)

        async def enter_again() -> None:
            await self.prove(request, await self._known(request, context, pull.name), route, pull, context)

        context.enter_again = enter_again

    async def prove_public(self, route: Route, pull: Pull) -> None:
        """Make sure that upstream gives *pull* to anybody; raise `RegistryError` or `UpstreamError`."""
        if self.proofs is None:
            raise errors.denied(f"nobody has shown that {route.repository} is public")
        try:
            await self.proofs.prove(None, wanted(self.registries[route.upstream.name], route.repository, pull), "")
        except Unauthenticated as error:
            raise errors.denied(str(error)) from None

    async def recheck(self, context: RequestContext) -> None:
        """Ask again who may pull where what was found out before may be wrong by now; raise `RegistryError`."""
        if context.is_permitted is not None and context.enter_again is not None and not context.is_permitted():
            await context.enter_again()

    async def served(self, context: RequestContext, answer: Callable[[], Awaitable[web.StreamResponse]]) -> web.StreamResponse:
        """Return the *answer*; where upstream refused it to another client, for whom it was asked, once more for this one."""
        try:
            return await answer()
        except Refused:
            if asker.get() is None or context.enter_again is None:
                raise
            await context.enter_again()
        return await answer()

    async def _proven(self, proofs: Proofs, request: web.BaseRequest, admission: Admission, what: Wanted) -> Grant:
        """Return how it was proven that *what* may be had; raise `RegistryError`."""
        has_shown = bool(request.headers.getall("Authorization", ()))
        try:
            return await proofs.prove(admission.credential, what, client_key(request.remote or ""))
        except Unauthenticated as error:
            raise self._challenged(request, str(error), what.repository.name) from None
        except Answer as error:
            if isinstance(error, NotFound) and not has_shown:  # some registries say so of what is private
                raise self._challenged(request, f"{error}; if it is private, log in", what.repository.name) from None
            raise upstream_failure(error, what.kind) from error
        except UpstreamError as error:
            reason = f"{what.repository.registry} cannot tell now whether you may pull {what.repository.name}: {error}"
            raise errors.unavailable(reason, retry_after=_RETRY_AFTER) from error

    def _is_still(self, admission: Admission, known: int, grant: Grant | None = None) -> Callable[[], bool]:
        """Return what tells later whether the same request would be let in again without asking anybody: all that a repeated hit costs.

        It was found out while the authenticator's generation was *known*, and no proof was ended since *grant* was given.
        """
        authenticator, until, clock = self.authenticator, admission.until, self.clock
        assert authenticator is not None  # noqa: S101  our callers have looked
        if grant is not None and self.proofs is not None:
            generation, granted, until = self.proofs.generation, grant.generation, min(until, grant.until)
            return lambda: authenticator.generation == known and generation() == granted and clock() < until
        if until == math.inf:
            return lambda: authenticator.generation == known
        return lambda: authenticator.generation == known and clock() < until

    def _challenged(self, request: web.BaseRequest, message: str, repository: str = "", *, is_invalid_token: bool = False) -> RegistryError:
        """Make the 401 that says where a token is to be had (distribution, token authentication)."""
        parts = [f'realm="{self._origin(request)}{TOKEN_PATH}"', f'service="{SERVICE}"']
        if repository:
            parts.append(f'scope="repository:{repository}:pull"')
        if is_invalid_token:
            parts.append('error="invalid_token"')
        return RegistryError("UNAUTHORIZED", 401, message, {"WWW-Authenticate": f"Bearer {','.join(parts)}"})

    def _origin(self, request: web.BaseRequest) -> str:
        """Return how the client reaches us, as it says itself."""
        if self.public_url is not None:
            return self.public_url
        is_tls = request.transport is not None and request.transport.get_extra_info("sslcontext") is not None
        return f"http{'s' if is_tls else ''}://{Authority.parse(host_of(request)) or 'localhost'}"


def certificate_names(request: web.BaseRequest) -> Sequence[str]:
    """Return the names of the certificate that a client has shown, and that our `client_ca` vouches for."""
    certificate: dict[str, Any] = (request.transport.get_extra_info("peercert") if request.transport is not None else None) or {}
    names = [value for part in certificate.get("subject", ()) for key, value in part if key == "commonName"]
    return (*names, *(value for kind, value in certificate.get("subjectAltName", ()) if kind in {"DNS", "URI"}))
