"""What goes wrong where a registry redirects us is not the registry's fault."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from regproxy.oci.digest import Digest
from tests.fakes.deeds import Cut, Deed, Drop, Lie, Redirect, Status
from tests.fakes.entry import Entry, on
from tests.fakes.registry import FakeRegistry
from tests.rig import Rig, rig

NAME = "library/app"
LATER = {"Retry-After": "3600"}


@pytest.fixture
async def elsewhere() -> AsyncIterator[FakeRegistry]:
    async with FakeRegistry() as storage:
        yield storage


def _manifest(target: object) -> str:
    return f"/v2/{NAME}/manifests/{target}?ns=docker.io"


def _blob(digest: Digest) -> str:
    return f"/v2/{NAME}/blobs/{digest}?ns=docker.io"


def _at(storage: FakeRegistry) -> Redirect:
    def location(entry: Entry) -> str:
        return f"{storage.url}{entry.path}"

    return Redirect(location)


async def _rests(proxy: Rig) -> bool:
    return any(host["backoff_seconds"] > 0 for host in await proxy.hosts())


async def test_n12_11_a_throttled_list_elsewhere_closes_no_manifest(upstream: FakeRegistry, elsewhere: FakeRegistry, proxy: Rig) -> None:
    """ghcr.io sends referrers to another host."""
    upstream.add_image(NAME, "1", [b"layer"])
    upstream.misbehave("/referrers/", _at(elsewhere))
    elsewhere.misbehave("/referrers/", Status(429, LATER))
    referrers = f"/v2/{NAME}/referrers/sha256:{'a' * 64}?ns=docker.io"
    for _ in range(2):
        assert (await proxy.ask(referrers)).status == 503
    assert elsewhere.count("GET", "referrers") == 1, "its own gate is shut"
    assert (await proxy.ask(_manifest("1"))).status == 200
    assert not await _rests(proxy)


FAILURES = [
    pytest.param([Status(500)], id="500"),
    pytest.param([Status(429, LATER)], id="429"),
    pytest.param([Drop()], id="drops"),
    pytest.param([Cut(3)], id="cuts"),
    pytest.param([Lie(b"wrong")], id="corrupt_responses"),
]


@pytest.mark.parametrize("deeds", FAILURES)
async def test_n12_11_storage_that_fails_makes_no_tag_stale(
    upstream: FakeRegistry, elsewhere: FakeRegistry, proxy: Rig, deeds: list[Deed]
) -> None:
    upstream.add_image(NAME, "1", [b"layer"])
    elsewhere.add_blob(NAME, b"layer")
    upstream.misbehave(on("GET", "/blobs/"), _at(elsewhere))
    elsewhere.misbehave(on("GET", "/blobs/"), *deeds)
    await proxy.ask(_manifest("1"))
    await proxy.ask(_blob(Digest.of(b"layer")))
    await proxy.settled()
    assert not await _rests(proxy)
    assert "Warning" not in (await proxy.ask(_manifest("1"))).headers


async def test_n12_11_another_storage_is_asked_while_one_is_throttled(upstream: FakeRegistry, elsewhere: FakeRegistry, proxy: Rig) -> None:
    async with FakeRegistry() as other:
        throttled, good = (upstream.add_blob(NAME, body) and other.add_blob(NAME, body) for body in (b"one", b"two"))
        upstream.misbehave(on("GET", f"/blobs/{throttled}"), _at(elsewhere))
        upstream.misbehave(on("GET", f"/blobs/{good}"), _at(other))
        elsewhere.misbehave("/blobs/", Status(429, LATER))
        for _ in range(2):
            assert (await proxy.ask(_blob(throttled))).status == 503
        assert elsewhere.count("GET", "blobs") == 1
        assert (await proxy.ask(_blob(good))).body == b"two"


async def test_n12_11_where_storage_fails_another_host_sends_the_blobs(elsewhere: FakeRegistry, tmp_path: Path) -> None:
    async with FakeRegistry() as near, FakeRegistry() as far:
        bodies = [b"one", b"two", b"three"]
        for body in bodies:
            near.add_blob(NAME, body)
            far.add_blob(NAME, body)
        near.add_image(NAME, "1", [b"layer"])
        near.misbehave(on("GET", "/blobs/"), _at(elsewhere))
        elsewhere.misbehave("/blobs/", Status(500))
        hosts = [{"url": near.url}, {"url": far.url, "trust": ["pull"]}]
        async with rig(tmp_path / "store", {"docker.io": {"hosts": hosts}}) as proxy:
            for body in bodies:
                assert (await proxy.ask(_blob(Digest.of(body)))).body == body
            assert elsewhere.count("GET", "blobs") <= 1
            assert (await proxy.ask(_manifest("1"))).headers["Cache-Status"].startswith("regproxy; fwd=miss")
            assert not await _rests(proxy)


async def test_n12_11_storage_that_has_come_back_is_asked_again(upstream: FakeRegistry, elsewhere: FakeRegistry, proxy: Rig) -> None:
    digest = upstream.add_blob(NAME, b"layer")
    elsewhere.add_blob(NAME, b"layer")
    upstream.misbehave(on("GET", "/blobs/"), _at(elsewhere))
    elsewhere.misbehave("/blobs/", Status(500), times=1)
    assert (await proxy.ask(_blob(digest))).status == 502
    assert (await proxy.ask(_blob(digest))).body == b"layer"
