"""Passwords of ECR by a key that is given."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from regproxy.policy.clouds.signing import AccessKey
from regproxy.policy.clouds.sources import AwsIdentity, Ecr
from regproxy.policy.credential import Credential, Secret
from tests.fakes.clouds.aws import FakeAws
from tests.fakes.clouds.cloud import ACCESS_KEY, SECRET_KEY
from tests.fakes.deeds import Status
from tests.upstream.auth.subject import Clock
from tests.upstream.clouds.issuing import issue, refusal
from tests.upstream.clouds.test_aws import assert_told

KEY = AccessKey(ACCESS_KEY, Secret(SECRET_KEY))


@pytest.fixture
async def aws() -> AsyncIterator[FakeAws]:
    async with FakeAws(Clock()) as fake:
        fake.lifetime = 12 * 3600
        yield fake


def source(aws: FakeAws, key: AccessKey = KEY) -> Ecr:
    return Ecr(AwsIdentity.KEYS, aws.region, aws.url, key=key)


async def test_n19_01_ecr_issues_a_password_for_a_signed_request(aws: FakeAws) -> None:
    issued = await issue(source(aws))
    assert issued.credential == Credential("AWS", Secret(aws.issued[0]))
    assert issued.seconds == pytest.approx(12 * 3600, abs=1)
    assert len(aws.ledger) == 1


@pytest.mark.parametrize("skew", [-3600.0, 3600.0])
async def test_n19_01_ecr_whose_clock_is_another_is_asked_by_its_clock(aws: FakeAws, skew: float) -> None:
    aws.skew = skew
    issued = await issue(source(aws))
    assert issued.seconds == pytest.approx(12 * 3600, abs=1), "its end is by its clock, too"
    assert len(aws.ledger) == 2


@pytest.mark.parametrize(
    ("key", "told"),
    [
        (AccessKey("AKIDOTHER", Secret(SECRET_KEY)), r"UnrecognizedClientException\): allow ecr:GetAuthorizationToken"),
        (AccessKey(ACCESS_KEY, Secret("canary-wrong")), r"Amazon ECR in eu-west-1 refused a password \(400 InvalidSignatureException\)"),
        (AccessKey(ACCESS_KEY, Secret(SECRET_KEY), Secret("canary-session")), "UnrecognizedClientException"),
    ],
)
async def test_n19_01_ecr_that_refuses_a_key_is_told_without_it(aws: FakeAws, key: AccessKey, told: str) -> None:
    assert_told(await refusal(source(aws, key)), told)
    assert len(aws.ledger) == 1


async def test_n19_01_ecr_that_throttles_is_left_alone(aws: FakeAws) -> None:
    aws.misbehave("/", Status(400, body=b'{"__type":"ThrottlingException","message":"Rate exceeded"}'))
    assert_told(await refusal(source(aws)), r"Throttled: Amazon ECR in eu-west-1 throttles us \(400 ThrottlingException\)")


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b'{"authorizationData": []}',
        b'{"authorizationData": {"a": 1}}',
        b'{"authorizationData": [{"authorizationToken": "!"}]}',
        b'{"authorizationData": [{"authorizationToken": "QVdT"}]}',
    ],
)
async def test_n19_01_ecr_that_issues_no_password_is_told(aws: FakeAws, body: bytes) -> None:
    aws.misbehave("/", Status(200, body=body))
    assert_told(await refusal(source(aws)), "answered without a password that can be used")


async def test_n19_01_ecr_that_issues_what_is_over_is_told(aws: FakeAws) -> None:
    aws.lifetime = -60
    assert_told(await refusal(source(aws)), "is over already")


async def test_n19_01_a_region_of_another_name_is_refused(aws: FakeAws) -> None:
    assert_told(await refusal(replace(source(aws), region="us-east-1")), "InvalidSignatureException")
