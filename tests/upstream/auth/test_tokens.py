"""Tokens by a clock of the tests, before a real token service."""

import asyncio
import json
from pathlib import Path

import pytest

from regproxy.oci.http.challenge import parse_challenges
from regproxy.policy.clouds.signing import AccessKey
from regproxy.policy.clouds.sources import AwsIdentity, Azure, AzureIdentity, Ecr, Google, GoogleIdentity, Provider
from regproxy.policy.credential import Credential, CredentialKind, Secret
from regproxy.ports import Refused, Throttled, Unavailable, UpstreamError
from tests.fakes.clouds.aws import FakeAws
from tests.fakes.clouds.azure import RESOURCE, FakeAzure
from tests.fakes.clouds.cloud import ACCESS_KEY, SECRET_KEY
from tests.fakes.clouds.google import FakeGoogle
from tests.fakes.deeds import Hold, Status
from tests.upstream.auth.subject import NAME, USER, Clock, prepared


async def test_a_thousand_who_need_a_token_ask_once() -> None:
    async with prepared() as subject:
        headers = await asyncio.gather(*(subject.answer() for _ in range(1000)))
        assert len(set(headers)) == len(subject.asked) == 1


async def test_a_token_is_renewed_behind_the_requests() -> None:
    async with prepared() as subject:
        first = await subject.answer()
        subject.clock.now += 200
        renewal = Hold()
        subject.registry.misbehave("/token", renewal, times=1)
        assert await subject.authorization() == first, "nobody waits for the renewal"
        await renewal.reached.wait()
        assert await subject.authorization() == first
        renewal.event.set()
        subject.clock.now += 100
        second = await subject.authorization()
        assert (second != first, len(subject.asked)) == (True, 2)


async def test_a_renewal_that_fails_harms_nobody_and_is_not_repeated_at_once() -> None:
    async with prepared() as subject:
        first = await subject.answer()
        subject.clock.now += 200
        subject.registry.misbehave("/token", Status(500))
        for _ in range(5):
            assert await subject.authorization() == first
            await subject.registry.seen("/token", 2)
            await asyncio.sleep(0)
        assert len(subject.asked) <= 3


async def test_a_token_past_its_time_is_not_sent() -> None:
    async with prepared() as subject:
        first = await subject.answer()
        subject.clock.now += 271
        assert await subject.authorization() != first


async def test_a_rejected_token_is_replaced_once_and_again_only_after_a_while() -> None:
    async with prepared() as subject:
        first = await subject.answer()
        second = await subject.answer(first)
        with pytest.raises(Refused):
            await subject.answer(second)
        assert len(subject.asked) == 2
        subject.clock.now += 11
        assert await subject.answer(second) != second


async def test_a_late_rejection_of_an_old_token_gets_the_new_one() -> None:
    async with prepared() as subject:
        first = await subject.answer()
        second = await subject.answer(first)
        assert await subject.answer(first) == second
        assert len(subject.asked) == 2


async def test_a_registry_token_is_sent_as_it_is() -> None:
    async with prepared(Credential("", Secret("canary-ready-made"), CredentialKind.REGISTRY)) as subject:
        assert await subject.answer() == "Bearer canary-ready-made"
        assert subject.asked == []
        with pytest.raises(Refused, match="refused our credentials"):
            await subject.answer("Bearer canary-ready-made")


async def test_n12_14_tokens_are_bounded_by_their_size() -> None:
    """Six hundred of 16 KiB are more than a host may have; those that were used last are kept."""
    async with prepared() as subject:
        subject.registry.token_reply = {"token": "a" * 16 * 1024, "expires_in": 3600}
        for number in range(600):
            await subject.answer(name=f"library/{number}")
        assert subject.tokens.bytes_kept <= 8 * 1024 * 1024
        asked = len(subject.asked)
        await subject.answer(name="library/599")
        assert len(subject.asked) == asked


async def test_n13_13_a_refused_credential_is_told_once_and_when_it_is_over(caplog: pytest.LogCaptureFixture) -> None:
    async with prepared(USER) as subject:
        subject.registry.public = {"public/a", "public/b"}
        subject.registry.password = "canary-changed"
        for name in ("public/a", "private", "public/b", "public/a"):
            await asyncio.gather(subject.answer(name=name), return_exceptions=True)
        (told,) = [record for record in caplog.records if record.levelname == "ERROR"]
        assert told.getMessage().startswith("credentials refused: asking anonymously")
        assert "refused our credentials" in subject.tokens.refused_credentials
        subject.clock.now += 301
        subject.registry.password = USER.password.value
        assert await subject.answer(name="private")
        assert subject.tokens.refused_credentials == ""
        assert caplog.records[-1].getMessage() == "credentials accepted again"


@pytest.mark.parametrize("deed", [Status(401), Status(403)])
async def test_n13_13_nobody_is_refused_what_our_credential_is_refused(deed: Status) -> None:
    """Where nobody gets a token either, it is told that our credential is refused, not that there is no such thing."""
    async with prepared(USER) as subject:
        subject.registry.password = "canary-changed"
        subject.registry.misbehave(lambda entry: entry.kind == "token" and "authorization" not in entry.headers, deed)
        with pytest.raises(Refused, match="refused our credentials") as caught:
            await subject.answer()
        assert caught.value.whatever_asked


async def test_n13_13_a_pause_that_anonymous_pulls_are_given_is_a_pause() -> None:
    async with prepared(USER) as subject:
        subject.registry.password = "canary-changed"
        subject.registry.misbehave(lambda entry: entry.kind == "token" and "authorization" not in entry.headers, Status(429))
        with pytest.raises(Throttled):
            await subject.answer()


@pytest.mark.parametrize(
    ("said", "asked"),
    [
        pytest.param("", ["repository:library/app:pull"], id="nothing"),
        pytest.param("repository:other:pull", ["repository:library/app:pull"], id="for another repository"),
        pytest.param("repository:library/app:", ["repository:library/app:pull"], id="empty actions, as Huawei sends"),
        pytest.param("repository:library/app:metadata_read", ["repository:library/app:pull,metadata_read"], id="Azure's tag lists"),
        pytest.param("repository:library/app:pull,push,delete", ["repository:library/app:pull"], id="more than reading"),
        pytest.param("registry:catalog:* repository:a:pull", ["repository:library/app:pull", "registry:catalog:*"], id="several"),
        pytest.param("aws", ["aws"], id="a word of its own"),
    ],
)
async def test_the_scope_is_what_the_origin_wants_for_our_repository(said: str, asked: list[str]) -> None:
    async with prepared() as subject:
        challenge = parse_challenges([f'Bearer realm="{subject.registry.url}/token?a=b",scope="{said}"'])
        await subject.tokens.answer(challenge, subject.url, NAME, None)
        assert subject.asked[0].query == {"a": ["b"], "scope": asked}


def _provider(tmp_path: Path, auth: object) -> Provider:
    """Install a provider of the kubelet's protocol that knows *auth*, or fails where that is None."""
    said = {
        "apiVersion": "credentialprovider.kubelet.k8s.io/v1",
        "kind": "CredentialProviderResponse",
        "cacheKeyType": "Global",
        "auth": auth,
    }
    path = tmp_path / "provider"
    path.write_text("#!/bin/sh\nexit 1\n" if auth is None else f"#!/bin/sh\necho '{json.dumps(said)}'\n")
    path.chmod(0o755)
    return Provider(str(path), ("a.io",))


async def test_n19_01_the_credential_of_a_provider_is_sent_as_a_password_is(tmp_path: Path) -> None:
    source = _provider(tmp_path, {"a.io": {"username": USER.username, "password": USER.password.value}})
    async with prepared(auth="password", source=source) as subject:
        assert (await subject.answer()).startswith("Bearer canary-token")
        assert (await subject.tokens.identity(NAME))[0] == "password of user 'user' of provider"


async def test_n19_01_without_a_credential_from_its_source_what_is_public_is_had_and_what_is_not_says_why(tmp_path: Path) -> None:
    async with prepared(auth="password", source=_provider(tmp_path, None)) as subject:
        with pytest.raises(Unavailable, match=r"credential provider .* failed for a.io/library/app: it exited with status 1"):
            await subject.answer()
        subject.registry.public.add(NAME)
        subject.clock.now += 31
        assert (await subject.answer()).startswith("Bearer canary-token")
        assert not subject.with_password
        assert "exited with status 1" in subject.tokens.refused_credentials
        assert "nobody (the credential provider" in (await subject.tokens.identity(NAME))[0]
        assert isinstance(await subject.tokens.refusal(subject.url, NAME), Unavailable)
        assert not await subject.tokens.tells_secret("anything", NAME)


async def test_n19_01_a_password_that_cannot_be_had_is_no_reason_to_go_without(tmp_path: Path) -> None:
    async with prepared(auth="basic", source=_provider(tmp_path, None)) as subject:
        with pytest.raises(UpstreamError, match="exited with status 1"):
            await subject.tokens.answer(parse_challenges(["Basic realm=x"]), subject.url, NAME, None)


async def test_n19_01_a_credential_of_a_cloud_that_is_refused_before_its_end_is_replaced_and_all_is_well() -> None:
    challenges = parse_challenges(["Basic realm=x"])
    async with FakeAws(Clock()) as aws:
        key = AccessKey(ACCESS_KEY, Secret(SECRET_KEY))
        async with prepared(auth="basic", source=Ecr(AwsIdentity.KEYS, aws.region, aws.url, key=key)) as subject:
            registry, aws._clock = subject.registry, subject.clock
            registry.username, registry.password = "AWS", "canary-issued-1"
            first = await subject.tokens.answer(challenges, subject.url, NAME, None)
            registry.password = "canary-issued-2"  # AWS has withdrawn the first
            assert await subject.tokens.answer(challenges, subject.url, NAME, first) is None, "it was new a moment ago"
            assert subject.tokens.refused_credentials
            subject.clock.now += 301
            second = await subject.tokens.authorization(subject.url, NAME)
            assert second == first, "the refusal is over, and its end is not"
            second = await subject.tokens.answer(challenges, subject.url, NAME, first)
            assert second not in {first, None}
            assert subject.tokens.refused_credentials == ""
            assert await subject.tokens.authorization(subject.url, NAME) == second
        assert len(aws.issued) == 2


async def test_n19_01_a_mass_restart_while_a_credential_ends_asks_the_cloud_once() -> None:
    """Six hundred nodes come back, for five images each, as the password of an hour is over."""
    challenges = parse_challenges(["Basic realm=x"])
    async with FakeAws(Clock()) as aws:
        key = AccessKey(ACCESS_KEY, Secret(SECRET_KEY))
        async with prepared(auth="basic", source=Ecr(AwsIdentity.KEYS, aws.region, aws.url, key=key)) as subject:
            aws._clock = subject.clock
            first = await subject.tokens.answer(challenges, subject.url, NAME, None)
            subject.clock.now += 3600
            names = [f"team/{number % 5}" for number in range(3000)]
            found = await asyncio.gather(*(subject.tokens.authorization(subject.url, name) for name in names))
            assert len(set(found) - {first}) == 1
        assert len(aws.ledger) == 2


async def test_n19_01_a_refresh_token_of_azure_and_an_access_token_of_google_are_traded_for_tokens() -> None:
    async with FakeAzure(Clock()) as entra:
        azure = Azure(AzureIdentity.MANAGED, RESOURCE, metadata_endpoint=entra.url)
        async with prepared(auth="password", source=azure) as subject:
            subject.registry.files["/oauth2/exchange"] = b'{"refresh_token": "canary-refresh-token"}'
            assert (await subject.answer()).startswith("Bearer canary-token")
            [asked] = subject.asked
            assert b"grant_type=refresh_token" in asked.body
    async with FakeGoogle(Clock()) as metadata:
        google = Google(GoogleIdentity.METADATA, "default", metadata.url)
        async with prepared(auth="password", source=google) as subject:
            subject.registry.username, subject.registry.password = "oauth2accesstoken", "canary-issued-1"
            assert (await subject.answer()).startswith("Bearer canary-token")
