"""The container registries of Aliyun, Tencent and Huawei Cloud, as far as they issue logins."""

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime

from tests.fakes.clouds.cloud import ACCESS_KEY, SECRET_KEY, FakeCloud
from tests.fakes.clouds.signatures import fields_of, is_signed
from tests.fakes.entry import Entry
from tests.fakes.reply import Reply, json_reply


class Signed(FakeCloud):
    """Answers to what is signed by the one key that it knows."""

    id_field = "Credential"

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__(clock)
        self.secret = SECRET_KEY

    def said(self, entry: Entry) -> Reply | None:
        if fields_of(entry).get(self.id_field, "").partition("/")[0] != ACCESS_KEY:
            return self.refused("key")
        if abs(self.moment(entry) - self.now()) > 300:
            return self.refused("time")
        return self.login(entry) if is_signed(entry, self.secret) else self.refused("signature")

    def moment(self, entry: Entry) -> float:
        raise NotImplementedError

    def refused(self, why: str) -> Reply:
        raise NotImplementedError

    def login(self, entry: Entry) -> Reply | None:
        raise NotImplementedError


class FakeAliyun(Signed):
    """cr 2018-12-01 and 2016-06-07."""

    instance = "cri-instance"
    codes = {"key": "InvalidAccessKeyId.NotFound", "time": "InvalidTimeStamp.Expired", "signature": "SignatureDoesNotMatch"}  # noqa: RUF012

    def moment(self, entry: Entry) -> float:
        return datetime.strptime(entry.headers["x-acs-date"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp()

    def refused(self, why: str) -> Reply:
        return json_reply({"Code": self.codes[why], "Message": "canary", "RequestId": "1"}, 403 if why == "key" else 400)

    def login(self, entry: Entry) -> Reply | None:
        assert entry.headers["x-acs-action"] == "GetAuthorizationToken"
        assert entry.headers["x-acs-signature-nonce"]
        end = int((self.now() + self.lifetime) * 1000)
        if (entry.method, entry.path, entry.headers["x-acs-version"]) == ("GET", "/tokens", "2016-06-07"):
            return json_reply(
                {"data": {"tempUserName": "cr_temp_user", "authorizationToken": self.issue(), "expireDate": end}, "requestId": "1"}
            )
        assert (entry.method, entry.path.partition("?")[0], entry.headers["x-acs-version"]) == ("POST", "/", "2018-12-01")
        if entry.query["InstanceId"] != [self.instance]:
            return json_reply({"IsSuccess": False, "Code": "INSTANCE_NOT_EXIST", "RequestId": "1"})
        said = {"TempUsername": "cr_temp_user", "AuthorizationToken": self.issue(), "ExpireTime": end}
        return json_reply({"IsSuccess": True, "Code": "success", **said})


class FakeTencent(Signed):
    """tcr 2019-09-24: every answer is 200."""

    registry = "tcr-instance"
    codes = {"key": "AuthFailure.SecretIdNotFound", "time": "AuthFailure.SignatureExpire", "signature": "AuthFailure.SignatureFailure"}  # noqa: RUF012

    def moment(self, entry: Entry) -> float:
        return float(entry.headers["x-tc-timestamp"])

    def refused(self, why: str) -> Reply:
        return json_reply({"Response": {"Error": {"Code": self.codes.get(why, why), "Message": "canary"}, "RequestId": "1"}})

    def login(self, entry: Entry) -> Reply | None:
        names = ("x-tc-action", "x-tc-version", "x-tc-region")
        assert [entry.headers[name] for name in names] == ["CreateInstanceToken", "2019-09-24", "ap-guangzhou"]
        if json.loads(entry.body) != {"RegistryId": self.registry, "TokenType": "temp"}:
            return self.refused("ResourceNotFound")
        end = int((self.now() + self.lifetime) * 1000)
        return json_reply({"Response": {"Username": "100036950234", "Token": self.issue(), "ExpTime": end, "RequestId": "1"}})


class FakeHuawei(Signed):
    """SWR: CreateSecret."""

    id_field = "Access"
    codes = {"key": "APIGW.0301", "time": "APIGW.0303", "signature": "APIGW.0301"}  # noqa: RUF012
    says_end = True

    def moment(self, entry: Entry) -> float:
        return datetime.strptime(entry.headers["x-sdk-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()

    def refused(self, why: str) -> Reply:
        return json_reply({"error_msg": "canary", "error_code": self.codes[why], "request_id": "1"}, 401)

    def login(self, entry: Entry) -> Reply | None:
        assert (entry.method, entry.path) == ("POST", "/v2/manage/utils/secret?projectname=cn-north-4")
        auth = base64.b64encode(f"cn-north-4@AKTEMPORARY:{self.issue()}".encode()).decode()
        headers = (("X-Swr-Dockerlogin", "docker login -u canary"), *((("X-Swr-Expireat", self.end()),) if self.says_end else ()))
        return json_reply({"auths": {"swr.cn-north-4.myhuaweicloud.com": {"auth": auth}}}, headers=headers)
