"""Logins of Huawei Cloud SWR."""

import hashlib
import hmac
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from regproxy.policy.clouds.signing import AccessKey
from regproxy.policy.clouds.sources import Huawei, HuaweiLogin
from regproxy.policy.credential import Credential, Secret
from tests.fakes.clouds.china import FakeHuawei
from tests.fakes.clouds.cloud import ACCESS_KEY, SECRET_KEY
from tests.fakes.deeds import Status
from tests.upstream.auth.subject import Clock
from tests.upstream.clouds.issuing import issue, refusal
from tests.upstream.clouds.test_aws import assert_told

KEY = AccessKey(ACCESS_KEY, Secret(SECRET_KEY))
USER = "cn-north-4@AKTEMPORARY"


@pytest.fixture
async def huawei() -> AsyncIterator[FakeHuawei]:
    async with FakeHuawei(Clock()) as fake:
        yield fake


def source(huawei: FakeHuawei) -> Huawei:
    return Huawei(HuaweiLogin.TEMPORARY, "cn-north-4", KEY, huawei.url)


async def test_n19_01_a_long_term_login_is_made_of_the_key_and_asks_nobody() -> None:
    issued = await issue(Huawei(HuaweiLogin.LONG_TERM, "cn-north-4", KEY))
    password = hmac.new(SECRET_KEY.encode(), ACCESS_KEY.encode(), hashlib.sha256).hexdigest()
    assert issued.credential == Credential(f"cn-north-4@{ACCESS_KEY}", Secret(password))


@pytest.mark.parametrize(("skew", "asked"), [(0.0, 1), (-3600.0, 2), (3600.0, 2)])
async def test_n19_01_huawei_issues_a_login_for_a_signed_request(huawei: FakeHuawei, skew: float, asked: int) -> None:
    huawei.skew = skew
    issued = await issue(replace(source(huawei), project_id="0f51a9"))
    assert issued.credential == Credential(USER, Secret(huawei.issued[-1]))
    assert issued.seconds == pytest.approx(3600, abs=1)
    assert len(huawei.ledger) == asked
    assert huawei.ledger[-1].headers["x-project-id"] == "0f51a9"


async def test_n19_01_a_login_whose_end_is_not_told_is_used_for_an_hour(huawei: FakeHuawei) -> None:
    huawei.says_end, huawei.lifetime = False, 6 * 3600
    assert (await issue(source(huawei))).seconds == 3600


async def test_n19_01_huawei_that_refuses_is_told(huawei: FakeHuawei) -> None:
    for key in (AccessKey("other", KEY.secret), AccessKey(ACCESS_KEY, Secret("canary-x"))):
        assert_told(
            await refusal(replace(source(huawei), key=key)), r"Huawei SWR of cn-north-4 refused a login \(401 APIGW.0301\): allow swr::"
        )


@pytest.mark.parametrize("body", [b"{}", b"<html>", b'{"auths": {"x": {}}}'])
async def test_n19_01_huawei_that_issues_none_is_told(huawei: FakeHuawei, body: bytes) -> None:
    huawei.misbehave("/v2/manage", Status(200, body=body))
    assert_told(await refusal(source(huawei)), "answered without a login that can be used")
