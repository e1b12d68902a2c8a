"""Temporary passwords of Aliyun's registries (GetAuthorizationToken of cr 2018-12-01 for enterprises, and of 2016-06-07 for persons)."""

import secrets

from regproxy.policy.clock import WallClock
from regproxy.policy.clouds.signing import CloudRequest, sign_aliyun
from regproxy.policy.clouds.sources import Aliyun
from regproxy.policy.credential import Credential, Secret
from regproxy.policy.routing import Host
from regproxy.upstream.clouds.issuer import Issued, seconds_left, text_of
from regproxy.upstream.clouds.service import CloudService

_ACTION = ("x-acs-action", "GetAuthorizationToken")
_ENTERPRISE, _PERSONAL = ("x-acs-version", "2018-12-01"), ("x-acs-version", "2016-06-07")
_ADVICE = "allow cr:GetAuthorizationToken to the owner of the access key, and check the key, the region, instance_id and our clock"


class AliyunIssuer:
    """Asks Aliyun's Container Registry in one region."""

    def __init__(self, source: Aliyun, host: Host, clock: WallClock) -> None:
        """Ask nothing yet, for the sake of *host*."""
        self._source = source
        self._service = CloudService(f"Aliyun Container Registry in {source.region}", source.endpoint, host, clock)

    async def issue(self) -> Issued:
        host, instance = self._service.host, self._source.instance_id
        if instance:
            request = CloudRequest("POST", host, query=(("InstanceId", instance),), headers=(_ACTION, _ENTERPRISE))
        else:
            request = CloudRequest("GET", host, "/tokens", headers=(_ACTION, _PERSONAL))
        answer = await self._service.ask_signed(lambda now: sign_aliyun(request, self._source.key, secrets.token_hex(16), now))
        document = answer.document() if answer.status == 200 else {}
        if answer.status != 200 or document.get("IsSuccess", True) is not True:
            raise answer.failure("a password", _ADVICE)
        where, names = ((), ("TempUsername", "AuthorizationToken")) if instance else (("data",), ("tempUserName", "authorizationToken"))
        user, password = (text_of(answer, document, *where, name) for name in names)
        end = document.get("ExpireTime") if instance else document["data"].get("expireDate")
        return Issued(Credential(user, Secret(password)), seconds_left(answer, end))

    async def close(self) -> None:
        await self._service.close()
