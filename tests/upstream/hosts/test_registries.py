"""Registries of patterns: each with state of its own, and no more of them than there is room for."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from regproxy.client import client
from regproxy.config import Timeouts
from regproxy.fleet.memory import NullFleet
from regproxy.oci.manifest import Manifest
from regproxy.oci.reference import Reference, Repository, Tag
from regproxy.policy.credential import Credential, Secret
from regproxy.policy.routing import Host, Routes, Upstream
from regproxy.policy.upstream.transport import Proxy
from regproxy.ports import LocalResourceError, NotFound, Throttled
from regproxy.upstream.hosts.registries import MAX_OF_PATTERNS, Registries
from regproxy.upstream.registry import UpstreamRegistry
from tests.fakes.deeds import Hold, Status
from tests.fakes.forward_proxy import ForwardProxy
from tests.fakes.registry import FakeRegistry


class Clock:
    """Goes with the machine's until it is held."""

    def __init__(self) -> None:
        self.held: float | None = None

    def __call__(self) -> float:
        return time.monotonic() if self.held is None else self.held


@pytest.fixture
async def way() -> AsyncIterator[ForwardProxy]:
    async with ForwardProxy() as proxy:
        yield proxy


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def registries(way: ForwardProxy, clock: Clock) -> AsyncIterator[Registries]:
    """Have the names of a pattern lead where *way* says."""
    to = Proxy(way.url, Credential(way.username, Secret(way.password)))

    def made(name: str) -> Upstream:
        return Upstream(name, (Host(f"http://{name}", proxy=to, is_of_pattern=True),), pattern="*.reg.example")

    pattern, named = Upstream("*.reg.example", (), made=made), Upstream("docker.io", (Host("https://registry.invalid"),))
    routes = Routes([named, pattern], "docker.io")
    found = Registries([named, pattern], routes.called, lambda upstream: UpstreamRegistry(upstream, Timeouts(), NullFleet()), clock)
    yield found
    await found.close()


def _image(name: str) -> Reference:
    return Reference(Repository(name, "team/app"), Tag("1"))


def _asked_for(whom: str, registries: Registries, name: str) -> asyncio.Task[Manifest]:
    """Ask a registry for its image, for a client."""

    async def ask() -> Manifest:
        client.set(whom)
        return await registries[name].manifest(_image(name))

    return asyncio.create_task(ask())


def _names(count: int) -> list[str]:
    return [f"r{number}.reg.example" for number in range(count)]


async def test_n19_02_each_registry_of_a_pattern_has_state_of_its_own(registries: Registries, way: ForwardProxy) -> None:
    async with FakeRegistry(auth="anonymous") as one, FakeRegistry(auth="anonymous") as two:
        digests = []
        for name, registry in (("one.reg.example", one), ("two.reg.example", two)):
            way.names[f"{name}:80"] = ("127.0.0.1", registry.port)
            registry.realm = "/token"
            digests.append(registry.add_image("team/app", "1", [name.encode()]).digest)
        found = [(await registries[name].manifest(_image(name))).descriptor.digest for name in ("one.reg.example", "two.reg.example")]
        assert found == digests
        assert one.issued != two.issued
        one.misbehave("/v2/", Status(429, {"Retry-After": "60"}))
        with pytest.raises(Throttled):
            await registries["one.reg.example"].manifest(_image("one.reg.example"))
        assert registries["one.reg.example"].is_backing_off
        assert not registries["two.reg.example"].is_backing_off
        assert registries["one.reg.example"] is registries["one.reg.example"]


def test_n19_02_what_no_rule_names_is_not_opened() -> None:
    registries = Registries([], lambda _: None, lambda _: pytest.fail("opened"))
    assert "other.example" not in registries
    with pytest.raises(KeyError):
        registries["other.example"]


async def test_n19_02_registries_that_never_gave_anything_make_room_first(registries: Registries, way: ForwardProxy) -> None:
    async with FakeRegistry() as upstream:
        upstream.add_image("team/app", "1", [b"layer"])
        way.names["good.reg.example:80"] = ("127.0.0.1", upstream.port)
        good = registries["good.reg.example"]
        await good.manifest(_image("good.reg.example"))
        for name in _names(3 * MAX_OF_PATTERNS):
            assert registries[name] is not None
        assert len(registries) == MAX_OF_PATTERNS + 1
        assert registries["good.reg.example"] is good
        assert "docker.io" in list(registries)
        assert registries["r0.reg.example"] is not None, "it is opened again"


async def test_n19_02_one_that_was_closed_is_not_asked_any_more(registries: Registries) -> None:
    closed = registries["r0.reg.example"]
    for name in _names(MAX_OF_PATTERNS + 1):
        assert registries[name] is not None
    await asyncio.sleep(0)  # it closes
    with pytest.raises(LocalResourceError, match="closed a moment ago"):
        await closed.manifest(_image("r0.reg.example"))


async def test_n19_02_registries_that_are_being_asked_stay(registries: Registries, way: ForwardProxy) -> None:
    async with FakeRegistry() as upstream:
        upstream.misbehave("/v2/", held := Hold())
        names = _names(MAX_OF_PATTERNS)
        way.names.update({f"{name}:80": ("127.0.0.1", upstream.port) for name in (*names, "other.reg.example")})
        asked = [_asked_for(f"10.0.0.{number}", registries, name) for number, name in enumerate(names)]
        await upstream.seen("/v2/", MAX_OF_PATTERNS)
        with pytest.raises(LocalResourceError, match="in use"):
            await registries["other.reg.example"].manifest(_image("other.reg.example"))
        assert "other.reg.example" in registries
        assert "other.reg.example" not in list(registries)
        assert "other.reg.example:80" not in {request.place for request in way.requests}
        held.event.set()
        assert all(isinstance(each, NotFound) for each in await asyncio.gather(*asked, return_exceptions=True))
        with pytest.raises(NotFound):
            await registries["other.reg.example"].manifest(_image("other.reg.example"))


async def test_n19_02_one_that_was_in_use_a_moment_ago_stays_however_long_ago_it_was_asked(
    registries: Registries, way: ForwardProxy, clock: Clock
) -> None:
    """A download that takes minutes, and breaks: it goes on after a pause, with the same registry."""
    async with FakeRegistry() as upstream:
        upstream.misbehave("/v2/team/", held := Hold())
        digest = upstream.add_blob("big/app", b"layer")
        names = ["good.reg.example", *_names(MAX_OF_PATTERNS - 1)]
        way.names.update({f"{name}:80": ("127.0.0.1", upstream.port) for name in names})
        good = registries[names[0]]
        async with good.blob(Repository(names[0], "big/app"), digest) as body:
            while_it_comes = time.monotonic()
            assert [chunk async for chunk in body.chunks()] == [b"layer"]
        asked = [_asked_for(f"10.0.0.{number}", registries, name) for number, name in enumerate(names[1:])]
        await upstream.seen("/v2/team/", len(asked))
        clock.held = while_it_comes + 60.0
        assert registries["other.reg.example"] is not None
        assert registries[names[0]] is good
        clock.held += 60.0
        assert registries["other.reg.example"] is registries["other.reg.example"], "it has made room"
        held.event.set()
        await asyncio.gather(*asked, return_exceptions=True)


async def test_n19_02_no_client_has_all_registries_to_itself(registries: Registries, way: ForwardProxy) -> None:
    async with FakeRegistry() as upstream:
        upstream.misbehave("/v2/", held := Hold())
        names = _names(MAX_OF_PATTERNS)
        way.names.update({f"{name}:80": ("127.0.0.1", upstream.port) for name in (*names, "other.reg.example")})
        asked = [_asked_for("10.0.0.1", registries, name) for name in names]
        refused, _ = await asyncio.wait(asked, return_when=asyncio.FIRST_EXCEPTION)
        assert all(isinstance(each.exception(), LocalResourceError) for each in refused)
        other = _asked_for("10.0.0.2", registries, "other.reg.example")
        await upstream.seen("/v2/", MAX_OF_PATTERNS * 3 // 4 + 1)
        held.event.set()
        found = await asyncio.gather(*asked, other, return_exceptions=True)
        assert [type(each) for each in found] == [NotFound] * 48 + [LocalResourceError] * 16 + [NotFound]
