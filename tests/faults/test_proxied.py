"""What is sent to whom where a proxy that wants a user lies before a registry that challenges and redirects."""

import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest
from aiohttp import encode_basic_auth

from tests.fakes.authority import Authority
from tests.fakes.deeds import Redirect
from tests.fakes.entry import Entry, on
from tests.fakes.forward_proxy import ForwardProxy
from tests.fakes.registry import FakeRegistry
from tests.rig import Answer, Rig, rig

NAME = "library/app"
PASSWORD = "canary-registry"
PROXY = encode_basic_auth("user", "canary-proxy")
REGISTRY = encode_basic_auth("user", PASSWORD)


@dataclass
class Between:
    """A registry, its token service and its storage, three origins behind one proxy; and whoever sends through it."""

    proxy: ForwardProxy
    registry: FakeRegistry
    service: FakeRegistry
    storage: FakeRegistry
    settings: Mapping[str, object]

    def through(self, place: FakeRegistry) -> list[dict[str, str]]:
        """List the headers of what came to the proxy for a place."""
        return [request.headers for request in self.proxy.requests if request.place == place.host]

    @asynccontextmanager
    async def running(self, tmp_path: Path, **proxy: str) -> AsyncIterator[Rig]:
        settings = {"hosts": [self.settings], "proxy": self.proxy.configured, **proxy}
        async with rig(tmp_path / "store", {"docker.io": settings}) as running:
            yield running

    async def pulled(self, running: Rig) -> list[Answer]:
        """Pull an image whose blobs the registry redirects to its storage."""
        digest = self.registry.add_blob(NAME, b"blob")
        self.registry.add_image(NAME, "1", [b"layer"])
        self.storage.add_file(f"/signed/{digest}?a=b", b"blob")
        self.registry.misbehave(on("GET", "/blobs/"), Redirect(f"{self.storage.url}/signed/{digest}?a=b"))
        return [await running.ask(f"/v2/{NAME}/{path}?ns=docker.io") for path in ("manifests/1", f"blobs/{digest}", "tags/list")]


@pytest.fixture(params=["http", "https"])
def scheme(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def between(scheme: str, tmp_path: Path) -> AsyncIterator[Between]:
    server, trusted = None, {}
    if scheme == "https":
        authority = Authority(tmp_path)
        pair = authority.issue("registry")
        server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        server.load_cert_chain(pair.certificate, pair.key)
        trusted = {"tls": {"ca": str(authority.ca)}}
    async with AsyncExitStack() as stack:
        auths: tuple[Literal["password"] | None, ...] = ("password", "password", None)
        registry, service, storage = [await stack.enter_async_context(FakeRegistry(auth, password=PASSWORD, tls=server)) for auth in auths]
        registry.realm, registry.tokens = f"{service.url}/token", service.tokens
        login = {"username": "user", "password": PASSWORD}
        settings = {"url": registry.url, "credentials": login, "realms": [service.host], **trusted}
        yield Between(await stack.enter_async_context(ForwardProxy()), registry, service, storage, settings)


async def test_n13_17_each_secret_goes_to_whom_it_is_for(between: Between, scheme: str, tmp_path: Path) -> None:
    """The proxy's to the proxy, the registry's password to its token service, the token to the registry; nothing to the storage."""
    async with between.running(tmp_path) as running:
        assert [answer.status for answer in await between.pulled(running)] == [200, 200, 200]
        assert [host["url"] for host in await running.hosts()] == [between.registry.url]

    registry, service, storage = (_authorizations(each) for each in (between.registry, between.service, between.storage))
    tokens = {f"Bearer {token}" for token in between.service.issued}
    assert (set(registry) - {""}, set(service), set(storage)) == (tokens, {REGISTRY}, {""})
    assert all("proxy-authorization" not in entry.headers for each in _origins(between) for entry in each.ledger)

    methods = {request.method for request in between.proxy.requests}
    assert ("CONNECT" in methods) == (scheme == "https") == (methods == {"CONNECT"})
    assert {request.headers.get("proxy-authorization") for request in between.proxy.requests} == {PROXY}
    for each in _origins(between):
        sent = [headers.get("authorization", "") for headers in between.through(each)]
        assert sent
        assert sent == _authorizations(each) if scheme == "http" else set(sent) == {""}


async def test_n13_17_who_is_not_behind_the_proxy_hears_nothing_of_it(tmp_path: Path, between: Between) -> None:
    async with FakeRegistry() as other:
        other.add_image(NAME, "1", [b"layer"])
        upstreams = {"docker.io": {"hosts": [between.settings], "proxy": between.proxy.configured}, "quay.io": other.url}
        async with rig(tmp_path / "store", upstreams) as running:
            assert {answer.status for answer in await between.pulled(running)} == {200}
            assert (await running.ask(f"/v2/{NAME}/manifests/1?ns=quay.io")).status == 200
        assert other.ledger
        assert not between.through(other)
        assert all("proxy-authorization" not in entry.headers for entry in other.ledger)


Spoil = Callable[[ForwardProxy], None]


def _another_password(proxy: ForwardProxy) -> None:
    proxy.password = "canary-changed"


def _its_own_words(proxy: ForwardProxy) -> None:
    """Have the refusal repeat what was sent."""
    proxy.password, proxy.realm = "canary-changed", PROXY


@pytest.mark.parametrize("spoil", [_another_password, _its_own_words])
async def test_n13_17_a_refusal_of_the_proxy_is_told_without_a_secret(between: Between, tmp_path: Path, spoil: Spoil) -> None:
    """`Rig.ask` looks for canaries in the answer, and tests.canaries in the log."""
    configured = between.proxy.configured
    spoil(between.proxy)
    async with between.running(tmp_path, proxy=configured) as running:
        answers = await between.pulled(running)
        assert {answer.status for answer in answers} == {502}
        assert all(f"the proxy http://{between.proxy.host} answered 407".encode() in answer.body for answer in answers)
    assert between.registry.ledger == []


async def test_n13_17_a_proxy_may_be_known_by_a_token_alone(between: Between, tmp_path: Path) -> None:
    """As some are sold: the user is the secret, and there is no password."""
    between.proxy.username, between.proxy.password = "canary-token", ""
    async with between.running(tmp_path, proxy=f"http://canary-token@{between.proxy.host}") as running:
        assert {answer.status for answer in await between.pulled(running)} == {200}
        between.proxy.username = "canary-changed"
        await between.proxy.drop()
        missing = await running.ask(f"/v2/{NAME}/manifests/none?ns=docker.io")
        assert missing.status == 502


def _origins(between: Between) -> tuple[FakeRegistry, ...]:
    return between.registry, between.service, between.storage


def _authorizations(registry: FakeRegistry) -> list[str]:
    return [_authorization(entry) for entry in registry.ledger]


def _authorization(entry: Entry) -> str:
    return entry.headers.get("authorization", "")
