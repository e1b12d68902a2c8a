"""Temporary passwords of Tencent Container Registry (tcr 2019-09-24, CreateInstanceToken): good for an hour."""

import json

from regproxy.policy.clock import WallClock
from regproxy.policy.clouds.signing import CloudRequest, sign_tencent
from regproxy.policy.clouds.sources import Tencent
from regproxy.policy.credential import Credential, Secret
from regproxy.policy.routing import Host
from regproxy.upstream.clouds.issuer import Issued, seconds_left, text_of
from regproxy.upstream.clouds.service import CloudService

_ADVICE = "allow tcr:CreateInstanceToken to the owner of the key, and check the key, region, registry_id and our clock"


class TencentIssuer:
    """Asks Tencent Cloud's API for one instance."""

    def __init__(self, source: Tencent, host: Host, clock: WallClock) -> None:
        """Ask nothing yet, for the sake of *host*."""
        self._source = source
        self._service = CloudService(f"Tencent Container Registry in {source.region}", source.endpoint, host, clock)

    async def issue(self) -> Issued:
        headers = (
            ("content-type", "application/json"),
            ("x-tc-action", "CreateInstanceToken"),
            ("x-tc-version", "2019-09-24"),
            ("x-tc-region", self._source.region),
        )
        body = json.dumps({"RegistryId": self._source.registry_id, "TokenType": "temp"}).encode()
        request = CloudRequest("POST", self._service.host, headers=headers, body=body)
        answer = await self._service.ask_signed(lambda now: sign_tencent(request, self._source.key, "tcr", now))
        document = answer.document() if answer.status == 200 else {}
        if answer.status != 200 or answer.code:
            raise answer.failure("a password", _ADVICE)
        user, password = (text_of(answer, document, "Response", name) for name in ("Username", "Token"))
        return Issued(Credential(user, Secret(password)), seconds_left(answer, document["Response"].get("ExpTime")))

    async def close(self) -> None:
        await self._service.close()
