"""Keys of AWS from each who issues them."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from regproxy.policy.clouds.sources import AwsIdentity, Ecr
from tests.fakes.clouds.aws import FakeAws
from tests.fakes.deeds import Deed, Redirect, Status
from tests.upstream.auth.subject import Clock
from tests.upstream.clouds.issuing import issue, refusal

WEB, POD, INSTANCE = AwsIdentity.WEB_IDENTITY, AwsIdentity.POD_IDENTITY, AwsIdentity.INSTANCE


@pytest.fixture
async def aws() -> AsyncIterator[FakeAws]:
    async with FakeAws(Clock()) as fake:
        yield fake


def source(aws: FakeAws, identity: AwsIdentity, tmp_path: Path) -> Ecr:
    token = tmp_path / "token"
    token.write_text(f"{aws.web_token if identity is WEB else aws.pod_token}\n")
    return Ecr(
        identity=identity,
        region=aws.region,
        endpoint=aws.url,
        sts_endpoint=aws.url,
        role_arn=aws.role,
        token_file=token,
        credentials_url=f"{aws.url}/v1/credentials",
        metadata_endpoint=aws.url,
    )


@pytest.mark.parametrize(("identity", "asked"), [(WEB, 2), (POD, 2), (INSTANCE, 4)])
async def test_n19_01_a_temporary_key_signs_for_a_password(aws: FakeAws, identity: AwsIdentity, asked: int, tmp_path: Path) -> None:
    issued = await issue(source(aws, identity, tmp_path))
    assert (issued.credential.username, issued.credential.password.value) == ("AWS", aws.issued[0])
    assert len(aws.ledger) == asked


WRONG = [
    pytest.param(
        WEB,
        "role_arn",
        "arn:aws:iam::1:role/other",
        r"AWS STS refused the role .*/other \(403 AccessDenied\): check the role's trust",
        id="role",
    ),
    pytest.param(
        POD,
        "credentials_url",
        "URL/elsewhere",
        r"EKS Pod Identity agent refused keys \(404\): check the Pod Identity association",
        id="no agent",
    ),
    pytest.param(POD, "token_file", "/nowhere", "token of the Pod .* cannot be read: /nowhere: No such file", id="no token"),
    pytest.param(WEB, "token_file", "/nowhere", "token of the service account .* cannot be read", id="no web token"),
]


@pytest.mark.parametrize(("identity", "name", "value", "told"), WRONG)
async def test_n19_01_who_refuses_a_key_is_named_and_what_to_do(
    aws: FakeAws, identity: AwsIdentity, name: str, value: str, told: str, tmp_path: Path
) -> None:
    changed: dict[str, Any] = {name: Path(value) if name == "token_file" else value.replace("URL", aws.url)}
    assert_told(await refusal(replace(source(aws, identity, tmp_path), **changed)), told)


def assert_told(found: str, told: str) -> None:
    with pytest.raises(AssertionError, match=told):
        raise AssertionError(found)


async def test_n19_01_an_instance_without_a_role_or_a_metadata_service_is_told(aws: FakeAws, tmp_path: Path) -> None:
    instance = source(aws, INSTANCE, tmp_path)
    aws.roles = ""
    assert_told(await refusal(instance), "this instance has no role: attach an instance profile")
    aws.roles = "../../../canary role"
    assert_told(await refusal(instance), "named a role that cannot be one")
    await aws.stop()
    assert_told(await refusal(instance), r"metadata service \(IMDSv2\): cannot connect .*HttpPutResponseHopLimit 2")


@pytest.mark.parametrize(
    ("place", "deed", "told"),
    [
        ("/latest/api/token", Status(403), r"refused a session \(403\): is the metadata service enabled"),
        ("/latest/api/token", Status(200, body=b"canary two words"), "refused a session"),
        ("/latest/api/token", Redirect("http://169.254.169.254/latest/api/token"), "redirected us"),
        (
            "/security-credentials/r",
            Status(200, body=b'{"Code": "AssumeRoleUnauthorizedAccess"}'),
            r"\(200 AssumeRoleUnauthorizedAccess\): check the instance profile",
        ),
        ("/security-credentials/r", Status(200, body=b'{"Code": "Success", "AccessKeyId": "x"}'), "without SecretAccessKey"),
        ("/security-credentials/r", Status(200, body=b"<html>canary"), "did not answer with a JSON object"),
        ("/security-credentials/r", Status(500), "is out of order"),
    ],
)
async def test_n19_01_a_metadata_service_that_is_wrong_is_told(aws: FakeAws, place: str, deed: Deed, told: str, tmp_path: Path) -> None:
    aws.misbehave(place, deed)
    assert_told(await refusal(source(aws, INSTANCE, tmp_path)), told)
    assert not aws.issued


@pytest.mark.parametrize("body", [b"", b"<html>canary</html>", b"<AccessKeyId>A</AccessKeyId><SecretAccessKey>two words</SecretAccessKey>"])
async def test_n19_01_an_sts_that_answers_otherwise_is_told(aws: FakeAws, body: bytes, tmp_path: Path) -> None:
    aws.misbehave("/", Status(200, body=body))
    assert_told(await refusal(source(aws, WEB, tmp_path)), "AWS STS answered without SecretAccessKey")
