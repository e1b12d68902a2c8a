"""Passwords of Tencent Container Registry, whose refusals are 200."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from regproxy.policy.clouds.signing import AccessKey
from regproxy.policy.clouds.sources import Tencent
from regproxy.policy.credential import Credential, Secret
from tests.fakes.clouds.china import FakeTencent
from tests.fakes.clouds.cloud import ACCESS_KEY, SECRET_KEY
from tests.fakes.deeds import Status
from tests.upstream.auth.subject import Clock
from tests.upstream.clouds.issuing import issue, refusal
from tests.upstream.clouds.test_aws import assert_told

KEY = AccessKey(ACCESS_KEY, Secret(SECRET_KEY))


@pytest.fixture
async def tencent() -> AsyncIterator[FakeTencent]:
    async with FakeTencent(Clock()) as fake:
        yield fake


def source(tencent: FakeTencent) -> Tencent:
    return Tencent("ap-guangzhou", tencent.registry, tencent.url, KEY)


@pytest.mark.parametrize(("skew", "asked"), [(0.0, 1), (-3600.0, 2), (3600.0, 2)])
async def test_n19_01_tencent_issues_a_password_for_a_signed_request(tencent: FakeTencent, skew: float, asked: int) -> None:
    tencent.skew = skew
    issued = await issue(source(tencent))
    assert issued.credential == Credential("100036950234", Secret(tencent.issued[-1]))
    assert issued.seconds == pytest.approx(3600, abs=1)
    assert len(tencent.ledger) == asked


async def test_n19_01_tencent_that_refuses_is_told(tencent: FakeTencent) -> None:
    wrong = [
        (replace(source(tencent), key=AccessKey("other", KEY.secret)), "AuthFailure.SecretIdNotFound"),
        (replace(source(tencent), key=AccessKey(ACCESS_KEY, Secret("canary-x"))), "AuthFailure.SignatureFailure"),
        (replace(source(tencent), registry_id="tcr-other"), "ResourceNotFound"),
    ]
    for asked, code in wrong:
        assert_told(await refusal(asked), rf"Tencent Container Registry in ap-guangzhou refused a password \(200 {code}\): allow tcr:")


async def test_n19_01_tencent_that_throttles_is_left_alone(tencent: FakeTencent) -> None:
    tencent.misbehave("/", Status(200, body=b'{"Response": {"Error": {"Code": "RequestLimitExceeded"}}}'))
    assert_told(await refusal(source(tencent)), "Throttled: Tencent .* throttles us")


@pytest.mark.parametrize("body", [b"{}", b'{"Response": {}}', b'{"Response": {"Username": null, "Token": "x"}}', b"<html>"])
async def test_n19_01_tencent_that_issues_none_is_told(tencent: FakeTencent, body: bytes) -> None:
    tencent.misbehave("/", Status(200, body=body))
    assert_told(await refusal(source(tencent)), "that can be used|did not answer with a JSON object")
