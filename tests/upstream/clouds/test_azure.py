"""Refresh tokens of Azure's registries."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from regproxy.policy.clouds.sources import Azure, AzureIdentity
from regproxy.policy.credential import CredentialKind
from regproxy.policy.routing import Host
from regproxy.ports import UpstreamError
from regproxy.upstream.clouds.issuer import Issued
from tests.canary import told as told_of
from tests.fakes.clouds.azure import CLIENT, RESOURCE, TENANT, FakeAzure
from tests.fakes.deeds import Deed, Redirect, Status
from tests.upstream.auth.subject import Clock
from tests.upstream.clouds.issuing import issuing
from tests.upstream.clouds.test_aws import assert_told

MANAGED, WORKLOAD = AzureIdentity.MANAGED, AzureIdentity.WORKLOAD


@pytest.fixture
async def azure() -> AsyncIterator[FakeAzure]:
    async with FakeAzure(Clock()) as fake:
        fake.lifetime = 3 * 3600
        yield fake


def source(azure: FakeAzure, identity: AzureIdentity, tmp_path: Path) -> Azure:
    token = tmp_path / "token"
    token.write_text(azure.federated_token)
    is_managed = identity is MANAGED
    return Azure(
        identity,
        RESOURCE,
        client_id=CLIENT,
        tenant_id=TENANT,
        token_file=token,
        authority="" if is_managed else azure.url,
        metadata_endpoint=azure.url if is_managed else "",
    )


async def issue(azure: FakeAzure, asked: Azure) -> Issued:
    async with issuing(asked, host=Host(azure.url)) as issuer:
        return await issuer.issue()


async def refusal(azure: FakeAzure, asked: Azure) -> str:
    with pytest.raises(UpstreamError) as raised:
        await issue(azure, asked)
    assert told_of(str(raised.value)) is None
    return str(raised.value)


@pytest.mark.parametrize("identity", [MANAGED, WORKLOAD])
async def test_n19_01_a_token_of_entra_is_exchanged_for_a_refresh_token(azure: FakeAzure, identity: AzureIdentity, tmp_path: Path) -> None:
    issued = await issue(azure, source(azure, identity, tmp_path))
    credential = issued.credential
    assert (credential.username, credential.kind) == ("00000000-0000-0000-0000-000000000000", CredentialKind.IDENTITY)
    assert credential.password.value.endswith(azure.issued[-1])
    assert issued.seconds == pytest.approx(3 * 3600, abs=1)
    assert len(azure.ledger) == 2


async def test_n19_01_a_refresh_token_whose_end_is_not_told_is_used_for_an_hour(azure: FakeAzure, tmp_path: Path) -> None:
    for token in ("opaque", "a.!.c", "a.W10.c"):
        azure.misbehave("/oauth2/exchange", Status(200, body=f'{{"refresh_token": "{token}"}}'.encode()), times=1)
        assert (await issue(azure, source(azure, MANAGED, tmp_path))).seconds == 3600


@pytest.mark.parametrize(
    ("identity", "name", "value", "told"),
    [
        (MANAGED, "client_id", "other", r"Azure metadata service refused a token \(400 invalid_request\): assign a managed identity"),
        (WORKLOAD, "client_id", "other", r"Microsoft Entra ID refused a token \(401 AADSTS70021\): check client_id, tenant_id"),
        (WORKLOAD, "tenant_id", "other", r"Microsoft Entra ID refused a token \(404\)"),
        (MANAGED, "tenant_id", "other", r"the registry 127.0.0.1:\d+ refused a refresh token \(401\): grant AcrPull"),
        (WORKLOAD, "token_file", Path("/nowhere"), "token of the service account .* cannot be read"),
    ],
)
async def test_n19_01_who_refuses_is_named_and_what_to_do(
    azure: FakeAzure, identity: AzureIdentity, name: str, value: object, told: str, tmp_path: Path
) -> None:
    changed: dict[str, Any] = {name: value}
    assert_told(await refusal(azure, replace(source(azure, identity, tmp_path), **changed)), told)


@pytest.mark.parametrize(
    ("place", "deed", "told"),
    [
        ("/metadata", Redirect("http://169.254.169.254/"), "redirected us"),
        ("/metadata", Status(200, body=b"<html>"), "did not answer with a JSON object"),
        ("/metadata", Status(200, body=b'{"access_token": "two words"}'), "without access_token"),
        ("/metadata", Status(503), "out of order"),
        ("/oauth2/exchange", Redirect("http://127.0.0.1:1/elsewhere", 308), "redirected us"),
        ("/oauth2/exchange", Status(200, body=b"{}"), "without refresh_token"),
    ],
)
async def test_n19_01_an_answer_that_is_wrong_is_told(azure: FakeAzure, place: str, deed: Deed, told: str, tmp_path: Path) -> None:
    azure.misbehave(place, deed)
    assert_told(await refusal(azure, source(azure, MANAGED, tmp_path)), told)
