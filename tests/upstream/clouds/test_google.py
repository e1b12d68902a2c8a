"""Access tokens of Google Cloud."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from regproxy.policy.clouds.sources import Google, GoogleIdentity
from regproxy.policy.credential import Credential, Secret
from tests.fakes.clouds.google import FakeGoogle
from tests.fakes.deeds import Deed, Redirect, Status
from tests.upstream.auth.subject import Clock
from tests.upstream.clouds.issuing import issue, issuing, refusal
from tests.upstream.clouds.test_aws import assert_told


@pytest.fixture
async def google() -> AsyncIterator[FakeGoogle]:
    async with FakeGoogle(Clock()) as fake:
        yield fake


def federated(google: FakeGoogle, tmp_path: Path, **changed: object) -> Google:
    token = tmp_path / "token"
    token.write_text(google.subject_token)
    config = tmp_path / "federation.json"
    config.write_text(json.dumps(google.federation(**{"credential_source": {"file": str(token)}, **changed})))
    return Google(GoogleIdentity.FEDERATION, config_file=config)


def of_metadata(google: FakeGoogle, account: str = "default") -> Google:
    return Google(GoogleIdentity.METADATA, service_account=account, metadata_endpoint=google.url)


async def test_n19_01_the_metadata_server_issues_an_access_token(google: FakeGoogle) -> None:
    google.skew = 86_400
    issued = await issue(of_metadata(google))
    assert issued.credential == Credential("oauth2accesstoken", Secret(google.issued[-1]))
    assert issued.seconds == 3600


@pytest.mark.parametrize(("impersonation", "asked"), [("default", 2), (None, 1)])
async def test_n19_01_a_token_of_another_provider_is_exchanged(
    google: FakeGoogle, impersonation: str | None, asked: int, tmp_path: Path
) -> None:
    changed = {} if impersonation else {"service_account_impersonation_url": None}
    issued = await issue(federated(google, tmp_path, **changed))
    assert issued.credential == Credential("oauth2accesstoken", Secret(google.issued[-1]))
    assert issued.seconds == pytest.approx(3600, abs=1)
    assert len(google.ledger) == asked


@pytest.mark.parametrize(
    ("deed", "told"),
    [
        (Status(200, body=b'{"access_token": "canary-x", "expires_in": 60}'), "did not say that it is one"),
        (Status(200, {"Metadata-Flavor": "Google"}, b"<html>"), "did not answer with a JSON object"),
        (Status(200, {"Metadata-Flavor": "Google"}, b"{}"), "without access_token"),
        (Redirect("http://169.254.169.254/"), "redirected us"),
        (Status(403), r"refused a token of the service account default \(403\): check the service account of this machine"),
        (Status(429), "throttles us"),
    ],
)
async def test_n19_01_a_metadata_server_that_is_wrong_is_told(google: FakeGoogle, deed: Deed, told: str) -> None:
    google.misbehave("/computeMetadata", deed)
    assert_told(await refusal(of_metadata(google)), told)


async def test_n19_01_a_service_account_that_is_not_there_and_a_server_that_is_not_are_told(google: FakeGoogle) -> None:
    assert_told(await refusal(of_metadata(google, "x@y.iam.gserviceaccount.com")), r"service account x@y.* \(404\)")
    await google.stop()
    assert_told(await refusal(of_metadata(google)), "the Google metadata server: cannot connect")


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"audience": "//other"}, r"Google STS refused to exchange a token \(400 invalid_grant\): check the workload identity pool"),
        ({"credential_source": {"file": "/nowhere"}}, "token to exchange cannot be read: /nowhere: No such file"),
        ({"credential_source": {"file": "/dev/null"}}, "has no token to exchange in it"),
        ({"type": "service_account"}, "is not a credential configuration of type external_account"),
    ],
)
async def test_n19_01_who_does_not_exchange_a_token_is_named(
    google: FakeGoogle, changed: dict[str, object], told: str, tmp_path: Path
) -> None:
    assert_told(await refusal(federated(google, tmp_path, **changed)), told)


async def test_n19_01_an_impersonation_that_is_refused_is_told(google: FakeGoogle, tmp_path: Path) -> None:
    google.misbehave(":generateAccessToken", Status(403, body=b'{"error": {"status": "PERMISSION_DENIED", "message": "canary"}}'))
    assert_told(
        await refusal(federated(google, tmp_path)), r"Google IAM refused to impersonate .*\(403 PERMISSION_DENIED\): grant roles/iam"
    )


async def test_n19_01_a_configuration_that_is_gone_or_names_ever_new_services_is_told(google: FakeGoogle, tmp_path: Path) -> None:
    source = federated(google, tmp_path)
    async with issuing(source) as issuer:
        for number in range(12):
            federated(google, tmp_path, token_url=f"http://127.0.0.1:{number + 1}/v1/token")
            with pytest.raises(Exception, match="Google STS: cannot connect" if number < 8 else "ever new services"):
                await issuer.issue()
    (tmp_path / "federation.json").unlink()
    assert_told(await refusal(source), "cannot be read: No such file")


@pytest.mark.parametrize("seconds", ["1" + "0" * 400, "1e999", "Infinity"])
async def test_n19_01_a_life_without_end_is_half_a_day(google: FakeGoogle, seconds: str) -> None:
    body = f'{{"access_token": "canary-x", "expires_in": {seconds}}}'.encode()
    google.misbehave("/computeMetadata", Status(200, {"Metadata-Flavor": "Google"}, body))
    assert (await issue(of_metadata(google))).seconds == 12 * 3600


@pytest.mark.parametrize("seconds", ["NaN", "-1", "0", '"3600"', "true", "null", "{}"])
async def test_n19_01_a_life_that_is_none_is_five_minutes(google: FakeGoogle, seconds: str) -> None:
    body = f'{{"access_token": "canary-x", "expires_in": {seconds}}}'.encode()
    google.misbehave("/computeMetadata", Status(200, {"Metadata-Flavor": "Google"}, body))
    assert (await issue(of_metadata(google))).seconds == 300
