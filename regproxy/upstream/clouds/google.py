"""Access tokens of Google Cloud, by which Artifact Registry and gcr.io are read (cloud.google.com: "Authenticate to Artifact Registry").

They are issued by the metadata server of a machine or a GKE cluster (Workload Identity), or exchanged for the token of another
identity provider (workload identity federation, google.aip.dev/auth/4117).
"""

import json
from pathlib import Path
from urllib.parse import urlsplit

from regproxy import files
from regproxy.policy.clock import WallClock
from regproxy.policy.clouds.google import Federation, InvalidFederation
from regproxy.policy.clouds.signing import CloudRequest, canonical_query
from regproxy.policy.clouds.sources import Google, GoogleIdentity
from regproxy.policy.credential import Credential, Secret
from regproxy.policy.routing import Host
from regproxy.policy.upstream.tokens import is_token, lifetime
from regproxy.ports import Unavailable, UnexpectedResponse
from regproxy.upstream.clouds.issuer import Issued, Issuer, seconds_left, text_of
from regproxy.upstream.clouds.service import CloudAnswer, CloudService

_USER = "oauth2accesstoken"
_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_FLAVOR = ("metadata-flavor", "Google")
_FORM = ("content-type", "application/x-www-form-urlencoded")
_JSON = ("content-type", "application/json")
_MAX_SERVICES = 8  # that a file may have named


def google_issuer(source: Google, host: Host, clock: WallClock) -> Issuer:
    """Return who issues what *source* says."""
    return MetadataIssuer(source, host, clock) if source.identity is GoogleIdentity.METADATA else FederationIssuer(source, host, clock)


class MetadataIssuer:
    """Asks the metadata server for a token of a service account."""

    def __init__(self, source: Google, host: Host, clock: WallClock) -> None:
        """Ask nothing yet, for the sake of *host*."""
        self._path = f"/computeMetadata/v1/instance/service-accounts/{source.service_account}/token"
        self._account = source.service_account
        self._metadata = CloudService("the Google metadata server", source.metadata_endpoint, host, clock, is_metadata=True)

    async def issue(self) -> Issued:
        answer = await self._metadata.ask(CloudRequest("GET", self._metadata.host, self._path, headers=(_FLAVOR,)))
        if answer.status != 200:
            advice = "check the service account of this machine, or the Workload Identity of this Kubernetes service account"
            raise answer.failure(f"a token of the service account {self._account}", advice)
        if answer.headers.get(_FLAVOR[0]) != _FLAVOR[1]:
            raise UnexpectedResponse(f"{answer.who} did not say that it is one (Metadata-Flavor): somebody else answers there")
        return _issued(answer)

    async def close(self) -> None:
        await self._metadata.close()


class FederationIssuer:
    """Exchanges the token in a file, as the configuration of a workload identity pool says."""

    def __init__(self, source: Google, host: Host, clock: WallClock) -> None:
        """Ask nothing yet, for the sake of *host*."""
        self._file = source.config_file or Path()
        self._host = host
        self._clock = clock
        self._services: dict[tuple[str, str], CloudService] = {}

    async def issue(self) -> Issued:
        federation = await self._federation()
        answer = await self._exchanged(federation)
        if federation.impersonation_url is None:
            return _issued(answer)
        token = text_of(answer, answer.document(), "access_token")
        accounts, path = self._service("Google IAM", federation.impersonation_url)
        body = json.dumps({"scope": [_SCOPE], "lifetime": "3600s"}).encode()
        request = CloudRequest("POST", accounts.host, path, headers=(_JSON, ("authorization", f"Bearer {token}")), body=body)
        answer = await accounts.ask(request)
        if answer.status != 200:
            raise answer.failure("to impersonate the service account", "grant roles/iam.workloadIdentityUser to the pool's principal")
        document = answer.document()
        return Issued(_credential(text_of(answer, document, "accessToken")), seconds_left(answer, document.get("expireTime")))

    async def close(self) -> None:
        for service in self._services.values():
            await service.close()

    async def _federation(self) -> Federation:
        """Read the configuration, which may be another one than at the start."""
        try:
            return Federation.parse(await files.read_bytes(self._file))
        except OSError as error:
            raise Unavailable(f"{self._file} cannot be read: {error.strerror}") from None
        except InvalidFederation as error:
            raise Unavailable(f"{self._file} {error}") from None

    async def _exchanged(self, federation: Federation) -> CloudAnswer:
        try:
            text = (await files.read_bytes(federation.token_file)).decode()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or type(error).__name__
            raise Unavailable(f"the token to exchange cannot be read: {federation.token_file}: {reason}") from None
        if not is_token(token := federation.token(text)):
            raise Unavailable(f"the file {federation.token_file} has no token to exchange in it")
        sts, path = self._service("Google STS", federation.token_url)
        form = {
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "requested_token_type": "urn:ietf:params:oauth:token-type:access_token",
            "audience": federation.audience,
            "scope": _SCOPE,
            "subject_token_type": federation.subject_token_type,
            "subject_token": token,
        }
        answer = await sts.ask(CloudRequest("POST", sts.host, path, headers=(_FORM,), body=canonical_query(form).encode()))
        if answer.status != 200:
            raise answer.failure("to exchange a token", "check the workload identity pool: its issuer, audience and attribute condition")
        return answer

    def _service(self, who: str, url: str) -> tuple[CloudService, str]:
        """Return the service at *url*, and the path that is asked there; a file that changed may name others."""
        parts = urlsplit(url)
        key = who, f"{parts.scheme}://{parts.netloc}"
        if key not in self._services and len(self._services) >= _MAX_SERVICES:
            raise Unavailable(f"{self._file} names ever new services: restart regproxy")
        service = self._services.get(key) or self._services.setdefault(key, CloudService(*key, self._host, self._clock))
        return service, parts.path or "/"


def _issued(answer: CloudAnswer) -> Issued:
    """Read a token as OAuth 2.0 has it (RFC 6749, 5.1)."""
    document = answer.document()
    return Issued(_credential(text_of(answer, document, "access_token")), lifetime(document.get("expires_in")))


def _credential(token: str) -> Credential:
    return Credential(_USER, Secret(token))
