"""Logins of Huawei Cloud SWR: long-term ones are made of the key itself, temporary ones are issued (API Reference, CreateSecret)."""

from regproxy.policy.clock import WallClock
from regproxy.policy.clouds.signing import CloudRequest, huawei_login, sign_huawei
from regproxy.policy.clouds.sources import Huawei, HuaweiLogin
from regproxy.policy.credential import Credential, Secret
from regproxy.policy.routing import Host
from regproxy.policy.upstream.keyring import InvalidKeyring, Keyring
from regproxy.ports import UnexpectedResponse
from regproxy.upstream.clouds.issuer import Issued, seconds_left
from regproxy.upstream.clouds.service import CloudService

_LONG = 86_400.0  # seconds until the same is made again
_DEFAULT_SECONDS = 3600.0  # where SWR does not say for how long: six hours, in the oldest of its versions
_EXPIRES = "x-swr-expireat"
_ADVICE = "allow swr::createLoginSecret to the owner of the key, and check the key, project and our clock"


class HuaweiIssuer:
    """Makes a login, or asks SWR for one."""

    def __init__(self, source: Huawei, host: Host, clock: WallClock) -> None:
        """Ask nothing yet, for the sake of *host*."""
        self._source = source
        self._swr = CloudService(f"Huawei SWR of {source.project}", source.endpoint, host, clock)

    async def issue(self) -> Issued:
        source = self._source
        if source.login is HuaweiLogin.LONG_TERM:
            return Issued(Credential(f"{source.project}@{source.key.id}", Secret(huawei_login(source.key))), _LONG)
        headers = (("content-type", "application/json"), *((("x-project-id", source.project_id),) if source.project_id else ()))
        request = CloudRequest("POST", self._swr.host, "/v2/manage/utils/secret", (("projectname", source.project),), headers)
        answer = await self._swr.ask_signed(lambda now: sign_huawei(request, source.key, now))
        if answer.status not in {200, 201}:
            raise answer.failure("a login", _ADVICE)
        try:
            found = next(iter(Keyring.parse(answer.body).entries.values()), None)
        except InvalidKeyring:
            found = None
        if found is None:
            raise UnexpectedResponse(f"{answer.who} answered without a login that can be used")
        end = answer.headers.get(_EXPIRES)
        return Issued(found, _DEFAULT_SECONDS if end is None else seconds_left(answer, end))

    async def close(self) -> None:
        await self._swr.close()
