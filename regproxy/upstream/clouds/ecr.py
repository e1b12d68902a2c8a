"""Passwords of Amazon ECR (Amazon ECR API Reference, GetAuthorizationToken): good for twelve hours, for every registry that we may read."""

import base64
import binascii

from regproxy.policy.clock import WallClock
from regproxy.policy.clouds.signing import CloudRequest, sign_aws
from regproxy.policy.clouds.sources import Ecr
from regproxy.policy.credential import Credential, Secret
from regproxy.policy.routing import Host
from regproxy.ports import UnexpectedResponse
from regproxy.upstream.clouds.aws import AwsKeys
from regproxy.upstream.clouds.issuer import Issued, seconds_left
from regproxy.upstream.clouds.service import CloudService

_HEADERS = (
    ("content-type", "application/x-amz-json-1.1"),
    ("x-amz-target", "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken"),
)
_ADVICE = "allow ecr:GetAuthorizationToken to this identity, and check its keys and our clock"


class EcrIssuer:
    """Asks ECR in one region."""

    def __init__(self, source: Ecr, host: Host, clock: WallClock) -> None:
        """Ask nothing yet, for the sake of *host*."""
        self._region = source.region
        self._keys = AwsKeys(source, host, clock)
        self._ecr = CloudService(f"Amazon ECR in {source.region}", source.endpoint, host, clock)

    async def issue(self) -> Issued:
        key = await self._keys.get()
        request = CloudRequest("POST", self._ecr.host, headers=_HEADERS, body=b"{}")
        answer = await self._ecr.ask_signed(lambda now: sign_aws(request, key, self._region, "ecr", now))
        if answer.status != 200:
            raise answer.failure("a password", _ADVICE)
        entries = answer.document().get("authorizationData")
        entry = entries[0] if isinstance(entries, list) and entries and isinstance(entries[0], dict) else {}
        try:
            user, _, password = base64.b64decode(str(entry.get("authorizationToken", "")), validate=True).decode().partition(":")
        except (binascii.Error, ValueError):
            user, password = "", ""
        if not user or not password:
            raise UnexpectedResponse(f"{answer.who} answered without a password that can be used")
        return Issued(Credential(user, Secret(password)), seconds_left(answer, entry.get("expiresAt")))

    async def close(self) -> None:
        await self._keys.close()
        await self._ecr.close()
