"""A mirror that knows ten per cent of the images, in front of the registry."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from regproxy.policy.clients.identity import AccessMode
from regproxy.policy.routing import Host, HostKind, Trust, Upstream
from regproxy.ports import NotFound, Refused, Unavailable, UpstreamError
from regproxy.upstream.hosts.refusals import Refusals
from tests.fakes.deeds import Status
from tests.fakes.entry import on
from tests.fakes.registry import FakeRegistry
from tests.rig import PATIENT, Rig, rig

NAME = "library/app"
REGISTRY = Host("https://registry.example")
MIRROR = Host("https://mirror.example", frozenset({Trust.PULL}))
NEAR = Host("https://near.example")
CACHE = Host("https://cache.example", frozenset({Trust.PULL}), kind=HostKind.CACHE)
HOSTS = (MIRROR, CACHE, REGISTRY)


def _elsewhere(error: UpstreamError) -> UpstreamError:
    error.origin = "https://cdn.example"
    return error


SAID = [
    pytest.param(MIRROR, [Refused("403")], True, True, id="a refusal"),
    pytest.param(MIRROR, [NotFound("404", is_repository=True)], True, True, id="no such repository"),
    pytest.param(MIRROR, [NotFound("404")], True, False, id="one blob is missing"),
    pytest.param(MIRROR, [NotFound("404"), NotFound("404")], True, True, id="two blobs in a row are missing"),
    pytest.param(MIRROR, [_elsewhere(NotFound("404"))], True, False, id="its storage lacks one"),
    pytest.param(MIRROR, [_elsewhere(Refused("403"))], True, False, id="its storage refused one"),
    pytest.param(MIRROR, [Unavailable("503")] * 9, True, False, id="an outage"),
    pytest.param(MIRROR, [Refused("401", whatever_asked=True)], True, False, id="our credentials are wrong"),
    pytest.param(CACHE, [NotFound("404")] * 9, True, False, id="a cache has it a moment later"),
    pytest.param(CACHE, [Refused("403")], True, True, id="a cache that refuses it"),
    pytest.param(NEAR, [NotFound("404")] * 9, False, False, id="signatures that are not there"),
    pytest.param(NEAR, [Refused("403")], False, True, id="a tag that is refused, where another host may know it"),
    pytest.param(REGISTRY, [Refused("403")], False, True, id="the registry itself, where another host may know it"),
]


@pytest.mark.parametrize(("host", "errors", "is_content", "refused"), SAID)
def test_n19_02_a_host_that_refused_a_repository_is_asked_last(
    host: Host, errors: list[UpstreamError], is_content: bool, refused: bool
) -> None:
    now = 100.0
    hosts = (NEAR, *HOSTS)
    refusals = Refusals(Upstream("docker.io", hosts), lambda: now)
    for error in errors:
        refusals.failed(host, NAME, error, is_content=is_content)
    assert refusals.order(hosts, NAME) == ([each for each in hosts if each is not host or not refused], [host] if refused else [])
    assert refusals.order(hosts, "library/other") == (list(hosts), [])
    now += 601
    assert refusals.order(hosts, NAME) == (list(hosts), [])


def test_n19_02_the_only_hosts_that_can_say_what_a_tag_means_are_asked_although_they_refused() -> None:
    refusals = Refusals(Upstream("docker.io", HOSTS), lambda: 0.0)
    for host in HOSTS:
        refusals.failed(host, NAME, Refused("403"), is_content=True)
    assert refusals.order(HOSTS, NAME) == ([REGISTRY], [MIRROR, CACHE])


def test_n19_02_what_came_ends_a_refusal() -> None:
    refusals = Refusals(Upstream("docker.io", HOSTS), lambda: 0.0)
    refusals.failed(MIRROR, NAME, NotFound("404"), is_content=True)
    refusals.answered(MIRROR, NAME)
    refusals.failed(MIRROR, NAME, NotFound("404"), is_content=True)
    assert refusals.order(HOSTS, NAME) == (list(HOSTS), [])


def test_n19_02_what_one_client_is_refused_is_no_word_to_others() -> None:
    hosts = (NEAR, REGISTRY)
    refusals = Refusals(Upstream("docker.io", hosts, access=AccessMode.PROVEN), lambda: 0.0)
    refusals.failed(NEAR, NAME, Refused("403"), is_content=True)
    assert refusals.order(hosts, NAME) == (list(hosts), [])


@pytest.fixture
async def mirror() -> AsyncIterator[FakeRegistry]:
    async with FakeRegistry() as registry:
        yield registry


@pytest.fixture
async def pair(mirror: FakeRegistry, upstream: FakeRegistry, tmp_path: Path) -> AsyncIterator[Rig]:
    hosts = {"docker.io": {"hosts": [{"url": mirror.url, "trust": ["pull"]}, {"url": upstream.url}]}}
    async with rig(tmp_path / "store", hosts, timeouts=PATIENT) as running:
        yield running


async def _pull(pair: Rig, blobs: list[bytes], upstream: FakeRegistry) -> None:
    for body in blobs:
        digest = upstream.add_blob(NAME, body)
        answer = await pair.ask(f"/v2/{NAME}/blobs/{digest}")
        assert (answer.status, answer.body) == (200, body)


async def test_n19_02_an_image_that_a_mirror_refuses_costs_one_request_there(
    pair: Rig, mirror: FakeRegistry, upstream: FakeRegistry
) -> None:
    mirror.misbehave("/v2/", Status(403, body=b'{"errors":[{"code":"DENIED","message":"not in the allowlist"}]}'))
    await _pull(pair, [os.urandom(1000) for _ in range(5)], upstream)
    assert mirror.count("GET", "blobs") == 1
    mirror.behave()
    other = mirror.add_blob("library/other", b"other")
    assert (await pair.ask(f"/v2/library/other/blobs/{other}")).body == b"other"
    assert (mirror.count("GET", "blobs"), upstream.count("GET", "blobs")) == (2, 5)


async def test_n19_02_where_the_registry_is_down_a_mirror_is_asked_for_what_it_refused(
    pair: Rig, mirror: FakeRegistry, upstream: FakeRegistry
) -> None:
    mirror.misbehave("/v2/", Status(403), times=1)
    await _pull(pair, [b"one"], upstream)
    upstream.misbehave("/v2/", Status(503))
    digest = mirror.add_blob(NAME, b"two")
    assert (await pair.ask(f"/v2/{NAME}/blobs/{digest}")).body == b"two"


async def test_n19_02_what_the_registry_says_is_missing_is_not_asked_of_a_mirror_that_refused(
    pair: Rig, mirror: FakeRegistry, upstream: FakeRegistry
) -> None:
    mirror.misbehave("/v2/", Status(403))
    await _pull(pair, [b"one"], upstream)
    asked = len(mirror.ledger)
    upstream.misbehave(on("GET", "/manifests/"), Status(404))
    digest = mirror.add_manifest(NAME, b"{}", "application/vnd.oci.image.manifest.v1+json")
    assert (await pair.ask(f"/v2/{NAME}/manifests/{digest}")).status == 404
    assert len(mirror.ledger) == asked
