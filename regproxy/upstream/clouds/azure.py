"""Refresh tokens of Azure Container Registry, exchanged for a token of Microsoft Entra ID (azure.github.io/acr/AAD-OAuth.html).

Entra ID issues it to a managed identity (learn.microsoft.com: "How to use managed identities ... to acquire an access token"), or for
the token of a Kubernetes service account (Microsoft Entra Workload ID).
"""

import base64
import binascii
import json

from regproxy.policy.clock import WallClock
from regproxy.policy.clouds.signing import CloudRequest, canonical_query
from regproxy.policy.clouds.sources import Azure, AzureIdentity
from regproxy.policy.credential import Credential, CredentialKind, Secret
from regproxy.policy.routing import Host
from regproxy.upstream.clouds.issuer import Issued, seconds_left, text_of, token_in
from regproxy.upstream.clouds.service import CloudAnswer, CloudService

_USER = "00000000-0000-0000-0000-000000000000"  # learn.microsoft.com: of tokens, at a registry
_FORM = ("content-type", "application/x-www-form-urlencoded")
_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_DEFAULT_SECONDS = 3600.0  # a refresh token is good for three hours, and says so


class AzureIssuer:
    """Asks Entra ID, and then the registry itself."""

    def __init__(self, source: Azure, host: Host, clock: WallClock) -> None:
        """Ask nothing yet, for the sake of *host*."""
        self._source = source
        self._registry = CloudService(f"the registry {host}", host.url, host, clock, tls=host.tls)
        if source.identity is AzureIdentity.MANAGED:
            self._entra = CloudService("the Azure metadata service", source.metadata_endpoint, host, clock, is_metadata=True)
        else:
            self._entra = CloudService("Microsoft Entra ID", source.authority, host, clock)

    async def issue(self) -> Issued:
        source = self._source
        answer = await (self._managed() if source.identity is AzureIdentity.MANAGED else self._workload())
        token = text_of(answer, answer.document(), "access_token")
        form = {"grant_type": "access_token", "service": self._registry.host, "access_token": token}
        if source.tenant_id:
            form["tenant"] = source.tenant_id
        answer = await self._registry.ask(_posted(self._registry, "/oauth2/exchange", form))
        if answer.status != 200:
            raise answer.failure(
                "a refresh token", "grant AcrPull (or Container Registry Repository Reader) to the identity, and check tenant_id"
            )
        refresh = text_of(answer, answer.document(), "refresh_token")
        return Issued(Credential(_USER, Secret(refresh), CredentialKind.IDENTITY), _seconds(answer, refresh))

    async def close(self) -> None:
        await self._entra.close()
        await self._registry.close()

    async def _managed(self) -> CloudAnswer:
        which = (("client_id", self._source.client_id),) if self._source.client_id else ()
        query = (("api-version", "2018-02-01"), ("resource", self._source.resource), *which)
        request = CloudRequest("GET", self._entra.host, "/metadata/identity/oauth2/token", query, (("metadata", "true"),))
        answer = await self._entra.ask(request)
        if answer.status != 200:
            raise answer.failure("a token", "assign a managed identity to this machine; of several, name one by client_id")
        return answer

    async def _workload(self) -> CloudAnswer:
        source = self._source
        token = await token_in(source.token_file, "the service account (Microsoft Entra Workload ID)")
        form = {
            "grant_type": "client_credentials",
            "client_id": source.client_id,
            "scope": f"{source.resource.rstrip('/')}/.default",
            "client_assertion_type": _ASSERTION,
            "client_assertion": token,
        }
        answer = await self._entra.ask(_posted(self._entra, f"/{source.tenant_id}/oauth2/v2.0/token", form))
        if answer.status != 200:
            raise answer.failure("a token", "check client_id, tenant_id, and the federated credential of the identity: issuer and subject")
        return answer


def _posted(service: CloudService, path: str, form: dict[str, str]) -> CloudRequest:
    return CloudRequest("POST", service.host, path, headers=(_FORM,), body=canonical_query(form).encode())


def _seconds(answer: CloudAnswer, token: str) -> float:
    """Return for how long a JWT is good, as it says of itself; nobody but the registry verifies it."""
    part = token.split(".")[1] if token.count(".") == 2 else ""
    try:
        claims = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (binascii.Error, ValueError, RecursionError):
        claims = None
    end = claims.get("exp") if isinstance(claims, dict) else None
    return _DEFAULT_SECONDS if end is None else seconds_left(answer, end)
