"""Passwords of Aliyun's registries, personal and of an enterprise."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from regproxy.policy.clouds.signing import AccessKey
from regproxy.policy.clouds.sources import Aliyun
from regproxy.policy.credential import Credential, Secret
from tests.fakes.clouds.china import FakeAliyun
from tests.fakes.clouds.cloud import ACCESS_KEY, SECRET_KEY
from tests.fakes.deeds import Status
from tests.upstream.auth.subject import Clock
from tests.upstream.clouds.issuing import issue, refusal
from tests.upstream.clouds.test_aws import assert_told

KEY = AccessKey(ACCESS_KEY, Secret(SECRET_KEY))
INSTANCES = ["", FakeAliyun.instance]


@pytest.fixture
async def aliyun() -> AsyncIterator[FakeAliyun]:
    async with FakeAliyun(Clock()) as fake:
        yield fake


def source(aliyun: FakeAliyun, instance: str = "") -> Aliyun:
    return Aliyun("cn-hangzhou", aliyun.url, KEY, instance)


@pytest.mark.parametrize("instance", INSTANCES, ids=["personal", "enterprise"])
@pytest.mark.parametrize(("skew", "asked"), [(0.0, 1), (-3600.0, 2), (3600.0, 2)])
async def test_n19_01_aliyun_issues_a_password_for_a_signed_request(aliyun: FakeAliyun, instance: str, skew: float, asked: int) -> None:
    aliyun.skew = skew
    issued = await issue(source(aliyun, instance))
    assert issued.credential == Credential("cr_temp_user", Secret(aliyun.issued[-1]))
    assert issued.seconds == pytest.approx(3600, abs=1)
    assert len(aliyun.ledger) == asked


async def test_n19_01_aliyun_that_refuses_is_told(aliyun: FakeAliyun) -> None:
    personal = source(aliyun)
    for key, code in (
        (AccessKey("other", KEY.secret), "InvalidAccessKeyId.NotFound"),
        (AccessKey(ACCESS_KEY, Secret("canary-x")), "SignatureDoesNotMatch"),
    ):
        assert_told(
            await refusal(replace(personal, key=key)),
            rf"Aliyun Container Registry in cn-hangzhou refused a password \(40\d {code}\): allow cr:",
        )
    assert_told(await refusal(source(aliyun, "cri-other")), r"refused a password \(200\)|INSTANCE_NOT_EXIST")


@pytest.mark.parametrize(
    "body",
    [b"{}", b'{"data": 5}', b'{"data": {"tempUserName": "u"}}', b'{"data": {"tempUserName": "two words", "authorizationToken": "x"}}'],
)
async def test_n19_01_aliyun_that_issues_none_is_told(aliyun: FakeAliyun, body: bytes) -> None:
    aliyun.misbehave("/tokens", Status(200, body=body))
    assert_told(await refusal(source(aliyun)), "that can be used")


async def test_n19_01_a_region_that_nobody_told_is_an_error_in_words() -> None:
    assert_told(await refusal(Aliyun("", "", KEY)), "is not known by the name of this registry: set its region or endpoint")
