"""Tokens of an installation of a GitHub App."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from joserfc.jwk import RSAKey

from regproxy.policy.clouds.sources import GithubApp
from regproxy.policy.credential import Credential, Secret
from tests.fakes.clouds.github import APP, INSTALLATION, FakeGithub
from tests.fakes.deeds import Redirect, Status
from tests.upstream.auth.subject import Clock
from tests.upstream.clouds.issuing import issue, refusal
from tests.upstream.clouds.test_aws import assert_told

KEY = RSAKey.generate_key(2048)


@pytest.fixture
async def github() -> AsyncIterator[FakeGithub]:
    async with FakeGithub(Clock(), KEY) as fake:
        yield fake


def source(github: FakeGithub, tmp_path: Path, key: RSAKey = KEY) -> GithubApp:
    path = tmp_path / "app.pem"
    path.write_bytes(key.as_pem(private=True))
    return GithubApp(APP, INSTALLATION, path, f"{github.url}/api/v3")


@pytest.mark.parametrize(("skew", "asked"), [(0.0, 1), (-3600.0, 2), (3600.0, 2)])
async def test_n19_01_github_issues_a_token_to_an_app_that_may_read_packages(
    github: FakeGithub, skew: float, asked: int, tmp_path: Path
) -> None:
    github.skew = skew
    issued = await issue(source(github, tmp_path))
    assert issued.credential == Credential("x-access-token", Secret(github.issued[-1]))
    assert issued.seconds == pytest.approx(3600, abs=1)
    assert len(github.ledger) == asked


async def test_n19_01_github_that_refuses_is_told(github: FakeGithub, tmp_path: Path) -> None:
    right = source(github, tmp_path)
    assert_told(await refusal(replace(right, app_id="other")), r"GitHub refused a token of the installation \(401\): check app_id")
    assert_told(await refusal(replace(right, installation_id="9")), r"\(404\): check app_id")
    assert_told(await refusal(source(github, tmp_path, RSAKey.generate_key(2048))), r"\(401\)")
    github.misbehave("/access_tokens", Status(429, {"Retry-After": "60"}), times=1)
    assert_told(await refusal(source(github, tmp_path)), "Throttled: GitHub throttles us")
    github.misbehave("/access_tokens", Redirect("https://evil.example/"), times=1)
    assert_told(await refusal(source(github, tmp_path)), "redirected us")


async def test_n19_01_a_key_that_is_gone_or_none_is_named(github: FakeGithub, tmp_path: Path) -> None:
    asked = source(github, tmp_path)
    for content in (b"canary", b"-----BEGIN EC PRIVATE KEY-----\ncanary\n-----END EC PRIVATE KEY-----\n"):
        asked.private_key.write_bytes(content)
        assert_told(await refusal(asked), "is not an RSA private key in PEM form")
    asked.private_key.unlink()
    assert_told(await refusal(asked), "private key of the GitHub App cannot be read: .*No such file")
