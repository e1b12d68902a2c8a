from collections.abc import AsyncIterator

import aiohttp
import pytest

from regproxy.oci.http.challenge import parse_challenges
from tests.fakes.deeds import Hold, Status
from tests.fakes.registry import FakeRegistry

PULL = "repository:private/a:pull"


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as client:
        yield client


async def status(client: aiohttp.ClientSession, url: str, token: str = "") -> int:
    async with client.get(url, headers={"Authorization": f"Bearer {token}"} if token else {}) as answer:
        return answer.status


async def token(client: aiohttp.ClientSession, url: str, scope: str = PULL, auth: str = "") -> str:
    headers = {"Authorization": auth} if auth else {}
    async with client.get(f"{url}/token", params={"scope": scope, "service": "fake-registry"}, headers=headers) as answer:
        return str((await answer.json()).get("token", answer.status))


async def test_the_challenge_leads_to_a_token_that_opens_one_repository(client: aiohttp.ClientSession) -> None:
    async with FakeRegistry(auth="anonymous") as registry:
        registry.add_image("private/a", "1", [b"x"])
        registry.add_image("private/b", "1", [b"x"])
        url = f"{registry.url}/v2/private/a/manifests/1"
        async with client.get(url) as answer:
            assert answer.status == 401
            (challenge,) = parse_challenges(answer.headers.getall("WWW-Authenticate"))
        assert (challenge.realm, challenge.service, challenge.scope) == (f"{registry.url}/token", "fake-registry", PULL)
        good = await token(client, registry.url)
        assert await status(client, url, good) == 200
        assert await status(client, f"{registry.url}/v2/private/b/manifests/1", good) == 401
        assert await status(client, url, "made-up") == 401
        assert await status(client, f"{registry.url}/v2/", good) == 200
        registry.expire_tokens()
        assert await status(client, url, good) == 401
        registry.rejects_tokens = True
        assert await status(client, url, await token(client, registry.url)) == 401
        assert registry.count("GET", "token") == 2


async def test_a_password_is_needed_except_for_what_is_public(client: aiohttp.ClientSession) -> None:
    async with FakeRegistry(auth="password") as registry:
        registry.public.add("public/b")
        right = aiohttp.encode_basic_auth(registry.username, registry.password)
        assert await token(client, registry.url) == "401"
        assert await token(client, registry.url, auth=aiohttp.encode_basic_auth("user", "wrong")) == "401"
        assert (await token(client, registry.url, auth=right)).startswith("canary-token-")
        assert (await token(client, registry.url, "repository:public/b:pull")).startswith("canary-token-")


async def test_a_form_gets_a_token_by_password_or_by_refresh_token(client: aiohttp.ClientSession) -> None:
    async with FakeRegistry(auth="password") as registry:
        form = {"grant_type": "password", "username": registry.username, "password": registry.password, "scope": PULL}
        async with client.post(f"{registry.url}/token", data={**form, "access_type": "offline"}) as answer:
            refresh = (await answer.json())["refresh_token"]
        for sent, expected in (
            ({"grant_type": "refresh_token", "refresh_token": refresh, "scope": PULL}, 200),
            ({"grant_type": "refresh_token", "refresh_token": "no", "scope": PULL}, 401),
            ({**form, "password": "wrong"}, 401),
        ):
            async with client.post(f"{registry.url}/token", data=sent) as answer:
                assert answer.status == expected
        assert b"grant_type=password" in registry.ledger[0].body


async def test_challenge_realm_and_token_can_be_anything(client: aiohttp.ClientSession) -> None:
    async with FakeRegistry(auth="anonymous") as registry:
        registry.realm = lambda: "http://elsewhere/t"
        async with client.get(f"{registry.url}/v2/") as answer:
            assert 'realm="http://elsewhere/t"' in answer.headers["WWW-Authenticate"]
        registry.challenge = lambda repository: [f'Bearer realm="{repository}"', "Basic"]
        async with client.get(f"{registry.url}/v2/x/manifests/1") as answer:
            assert answer.headers.getall("WWW-Authenticate") == ['Bearer realm="x"', "Basic"]
        registry.token_reply = lambda token: {"access_token": token, "expires_in": -1}
        async with client.get(f"{registry.url}/token") as answer:
            assert await answer.json() == {"access_token": registry.issued[-1], "expires_in": -1}
        registry.token_reply = b"no JSON"
        async with client.get(f"{registry.url}/token") as answer:
            assert await answer.read() == b"no JSON"


async def test_a_misdeed_waits_for_a_request_that_is_let_in(client: aiohttp.ClientSession) -> None:
    """Else the 401 that comes first would use it up, and a test would say nothing."""
    async with FakeRegistry(auth="anonymous") as registry:
        registry.add_image("private/a", "1", [b"x"])
        url = f"{registry.url}/v2/private/a/manifests/1"
        registry.misbehave("manifests", Status(500), times=1)
        good = await token(client, registry.url)
        assert [await status(client, url), await status(client, url, good), await status(client, url, good)] == [401, 500, 200]
        registry.misbehave("manifests", Status(503), even_unauthorized=True)
        assert await status(client, url) == 503


async def test_the_token_service_can_be_held(client: aiohttp.ClientSession) -> None:
    async with FakeRegistry(auth="anonymous") as registry:
        held = Hold()
        registry.misbehave("/token", held)
        held.event.set()
        assert (await token(client, registry.url)).startswith("canary-token-")
        assert held.reached.is_set()
