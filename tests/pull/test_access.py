"""What upstream takes away is not served any longer, by digest either; what is only out of reach is."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.fakes.deeds import Hold, Status
from tests.fakes.entry import Match
from tests.fakes.registry import FakeRegistry
from tests.rig import QUICK, Rig, metric, rig

NAME = "team/secret"
OTHER = "library/app"
LAYER = os.urandom(64 * 1024)
HOUR = 3600.0
TAR = {"Content-Type": "application/x-tar"}
DOWN = [pytest.param(500, id="500"), pytest.param(503, id="503"), pytest.param(429, id="429")]
GONE = [
    pytest.param(Status(401), id="401"),
    pytest.param(Status(403), id="403"),
    pytest.param(Status(404), id="404"),
    pytest.param(Status(404, body=b'{"errors": [{"code": "NAME_UNKNOWN"}]}'), id="NAME_UNKNOWN"),
]


class Clock:
    """Epoch seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        self.now += 0.000_001
        return self.now


class Images:
    """An image with all that belongs to it, and where it is pulled."""

    def __init__(self, registry: FakeRegistry, name: str = NAME) -> None:
        self.name = name
        self.manifest = registry.add_image(name, "1", [LAYER]).digest
        self.index = registry.add_index(name, "multi", [registry.add_image(name, None, [LAYER])]).digest
        self.layer = registry.add_blob(name, LAYER)
        self.tag = f"/v2/{name}/manifests/1?ns=docker.io"

    def by_digest(self) -> list[tuple[str, str, dict[str, str]]]:
        """List every way to ask for something of it without a tag: method, path, headers."""
        manifests = [f"/v2/{self.name}/manifests/{digest}?ns=docker.io" for digest in (self.manifest, self.index)]
        blob = f"/v2/{self.name}/blobs/{self.layer}?ns=docker.io"
        asked: list[tuple[str, str, dict[str, str]]] = [(method, path, {}) for path in (*manifests, blob) for method in ("GET", "HEAD")]
        return [*asked, ("GET", blob, {"Range": "bytes=0-63"}), ("GET", blob, {"If_None_Match": f'"{self.layer}"'})]

    def lists(self) -> list[str]:
        return [f"/v2/{self.name}/tags/list?ns=docker.io", f"/v2/{self.name}/referrers/{self.manifest}?ns=docker.io"]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def images(upstream: FakeRegistry) -> Images:
    return Images(upstream)


@pytest.fixture
async def proxy(upstream: FakeRegistry, tmp_path: Path, clock: Clock) -> AsyncIterator[Rig]:
    async with rig(tmp_path / "store", {"docker.io": upstream.url}, clock, timeouts={**QUICK, "revalidate": "10s"}) as running:
        yield running


async def _pulled(proxy: Rig, images: Images) -> None:
    """Pull all of it, so that all of it is cached."""
    for path in (images.tag, images.tag.replace("/1?", "/multi?"), *images.lists()):
        assert (await proxy.ask(path)).status == 200
    assert set(await _answers(proxy, images)) <= {200, 206, 304}
    await proxy.settled()


async def _answers(proxy: Rig, images: Images) -> list[int]:
    return [(await proxy.ask(path, method, **headers)).status for method, path, headers in images.by_digest()]


async def _is_all_refused(proxy: Rig, images: Images) -> bool:
    answers = [await proxy.ask(path, method, **headers) for method, path, headers in images.by_digest()]
    answers += [await proxy.ask(path) for path in (images.tag, *images.lists())]
    return all(answer.status >= 400 or b'"manifests": []' in answer.body for answer in answers)  # there may be no list of referrers


async def _closed(proxy: Rig) -> float:
    name = 'regproxy_repositories_closed_total{upstream="docker.io"}'
    text = await proxy.metrics()
    return metric(text, name) if name in text else 0.0


def _revoke(upstream: FakeRegistry, deed: Status, match: Match = f"/{NAME}/") -> None:
    upstream.misbehave(match, deed)


@pytest.mark.parametrize("deed", [GONE[0], GONE[1], GONE[3]])
async def test_n12_06_a_tag_that_is_refused_closes_the_repository(
    upstream: FakeRegistry, proxy: Rig, clock: Clock, images: Images, deed: Status
) -> None:
    await _pulled(proxy, images)
    before = await _closed(proxy)
    clock.now += 400  # the tag is asked for anew
    _revoke(upstream, deed)
    assert (await proxy.ask(images.tag)).status >= 400
    assert await _is_all_refused(proxy, images)
    assert await _closed(proxy) == before + 1
    await upstream.stop()
    assert await _is_all_refused(proxy, images), "an outage opens nothing"


@pytest.mark.parametrize("deed", GONE)
async def test_n12_06_a_digest_is_asked_about_again_in_time(
    upstream: FakeRegistry, proxy: Rig, clock: Clock, images: Images, deed: Status
) -> None:
    await _pulled(proxy, images)
    _revoke(upstream, deed)
    assert set(await _answers(proxy, images)) <= {200, 206, 304}, "it is believed for a while"
    clock.now += 1.1 * HOUR
    for method, path, headers in reversed(images.by_digest()):
        assert (await proxy.ask(path, method, **headers)).status >= 400
    assert await _is_all_refused(proxy, images)


async def test_n12_15_a_closed_repository_is_not_asked_about_for_each_request(
    upstream: FakeRegistry, proxy: Rig, clock: Clock, images: Images
) -> None:
    await _pulled(proxy, images)
    clock.now += 1.1 * HOUR
    _revoke(upstream, Status(403))
    assert await _is_all_refused(proxy, images)
    asked = len(upstream.ledger)
    for _ in range(20):
        assert {status // 100 for status in await _answers(proxy, images)} == {4}
    assert len(upstream.ledger) == asked


async def test_n12_06_what_upstream_lets_be_read_again_is_open(upstream: FakeRegistry, proxy: Rig, clock: Clock, images: Images) -> None:
    await _pulled(proxy, images)
    clock.now += 1.1 * HOUR
    _revoke(upstream, Status(403))
    assert await _is_all_refused(proxy, images)
    upstream.behave()
    clock.now += 10  # a refusal is believed for a moment
    clock.now += 60
    sent = upstream.sent_blob_bytes()
    assert set(await _answers(proxy, images)) <= {200, 206, 304}
    assert (await proxy.ask(images.tag)).status == 200
    assert upstream.sent_blob_bytes() == sent, "it was here all the time"


@pytest.mark.parametrize("status", DOWN)
async def test_n12_06_an_outage_closes_nothing(upstream: FakeRegistry, proxy: Rig, clock: Clock, images: Images, status: int) -> None:
    await _pulled(proxy, images)
    clock.now += 12 * HOUR
    upstream.misbehave("/v2/", Status(status))
    assert set(await _answers(proxy, images)) <= {200, 206, 304}
    await upstream.stop()
    clock.now += 60
    assert set(await _answers(proxy, images)) <= {200, 206, 304}


async def test_n12_06_what_upstream_has_deleted_is_served(upstream: FakeRegistry, proxy: Rig, clock: Clock, images: Images) -> None:
    """That is what a cache is for; the repository can be read as before."""
    await _pulled(proxy, images)
    stored = upstream.repositories[NAME]
    stored.blobs.clear()
    stored.manifests.clear()
    stored.tags.clear()
    clock.now += 2 * HOUR
    assert set(await _answers(proxy, images)) <= {200, 206, 304}


async def test_n12_06_one_thing_that_is_refused_closes_nothing(upstream: FakeRegistry, proxy: Rig, clock: Clock, images: Images) -> None:
    """Scanners block single images."""
    await _pulled(proxy, images)
    upstream.misbehave("/manifests/blocked", Status(403))
    assert (await proxy.ask(images.tag.replace("/1?", "/blocked?"))).status == 403
    assert (await proxy.ask(images.by_digest()[0][1])).headers["Cache-Status"] == "regproxy; hit"
    clock.now += 2 * HOUR
    upstream.misbehave(f"/blobs/{images.layer}", Status(403))
    assert set(await _answers(proxy, images)) <= {200, 206, 304}


async def test_n12_06_a_closed_repository_closes_no_other(upstream: FakeRegistry, proxy: Rig, clock: Clock, images: Images) -> None:
    """Not even one that holds the same, or whose name begins alike."""
    others = [Images(upstream, OTHER), Images(upstream, f"{NAME}/deeper"), Images(upstream, f"{NAME}2")]
    for each in (images, *others):
        await _pulled(proxy, each)
    clock.now += 1.1 * HOUR
    _revoke(upstream, Status(403), lambda entry: entry.repository == NAME)
    assert await _is_all_refused(proxy, images)
    await upstream.stop()
    for each in others:
        assert set(await _answers(proxy, each)) <= {200, 206, 304}
        assert [(await proxy.ask(path)).status for path in each.lists()] == [200, 200]


async def test_n12_06_a_refusal_outlives_a_restart(upstream: FakeRegistry, tmp_path: Path, clock: Clock, images: Images) -> None:
    upstreams = {"docker.io": upstream.url}
    async with rig(tmp_path / "store", upstreams, clock) as proxy:
        await _pulled(proxy, images)
        clock.now += 400
        _revoke(upstream, Status(403))
        assert (await proxy.ask(images.tag)).status == 403
    await upstream.stop()
    clock.now += 100 * HOUR
    async with rig(tmp_path / "store", upstreams, clock) as proxy:
        assert await _is_all_refused(proxy, images)


async def test_n12_06_a_quiet_night_costs_one_question(upstream: FakeRegistry, proxy: Rig, clock: Clock, images: Images) -> None:
    await _pulled(proxy, images)
    clock.now += 12 * HOUR
    before = len(upstream.ledger)
    pulls = [proxy.ask(path, method, **headers) for method, path, headers in images.by_digest() for _ in range(40)]
    assert {answer.status for answer in await asyncio.gather(*pulls)} <= {200, 206, 304}
    assert [entry.method for entry in upstream.ledger[before:]] == ["HEAD"]
    clock.now += 0.5 * HOUR
    await _answers(proxy, images)
    assert len(upstream.ledger) == before + 1


async def test_n12_06_a_repository_in_use_costs_no_question(upstream: FakeRegistry, proxy: Rig, clock: Clock, images: Images) -> None:
    """The answer about a tag is one about the repository."""
    await _pulled(proxy, images)
    for _ in range(30):
        clock.now += 360
        assert (await proxy.ask(images.tag)).status == 200
        before = len(upstream.ledger)
        await _answers(proxy, images)
        assert len(upstream.ledger) == before


async def test_n12_06_a_slow_upstream_keeps_nobody_waiting(upstream: FakeRegistry, tmp_path: Path, clock: Clock, images: Images) -> None:
    """What is cached is served meanwhile, and the answer counts when it comes."""
    async with rig(tmp_path / "store", {"docker.io": upstream.url}, clock, timeouts={**QUICK, "headers": "60s"}) as proxy:
        await _pulled(proxy, images)
        clock.now += 2 * HOUR
        hold = Hold()
        upstream.misbehave(f"/{NAME}/", hold, Status(403))
        assert set(await _answers(proxy, images)) <= {200, 206, 304}
        hold.event.set()
        async with asyncio.timeout(20):
            while (await proxy.ask(images.by_digest()[0][1])).status == 200:  # noqa: ASYNC110 -- another task closes it
                await asyncio.sleep(0.01)
        assert await _is_all_refused(proxy, images)


QUIET = [
    pytest.param({"tags": [{"match": "team/*", "policy": "never"}]}, id="never"),
    pytest.param({"tags": [{"match": f"{NAME}:1", "policy": "never"}]}, id="never, for a tag"),
    pytest.param({"freeze": [{"match": f"{NAME}:1"}]}, id="frozen"),
    pytest.param({"freeze": [{"match": "team/*"}]}, id="frozen by a pattern"),
]


@pytest.mark.parametrize("rules", QUIET)
async def test_n12_06_what_is_frozen_or_offline_is_not_asked_about(
    upstream: FakeRegistry, tmp_path: Path, clock: Clock, images: Images, rules: dict[str, object]
) -> None:
    hosts = [{"url": upstream.url}]
    async with rig(tmp_path / "store", {"docker.io": {"hosts": hosts}}, clock) as proxy:
        await _pulled(proxy, images)
    _revoke(upstream, Status(403))
    before = len(upstream.ledger)
    async with rig(tmp_path / "store", {"docker.io": {"hosts": hosts, **rules}}, clock) as proxy:
        for _ in range(3):
            clock.now += 12 * HOUR
            assert set(await _answers(proxy, images)) <= {200, 206, 304}
            assert (await proxy.ask(images.tag)).status == 200
    assert len(upstream.ledger) == before


async def test_n12_06_an_import_is_not_asked_about(
    upstream: FakeRegistry, proxy: Rig, clock: Clock, images: Images, tmp_path: Path
) -> None:
    """It may be of an image that upstream has never heard of."""
    await _pulled(proxy, images)
    for digest in upstream.repositories[NAME].blobs:
        assert (await proxy.ask(f"/v2/{NAME}/blobs/{digest}?ns=docker.io")).status == 200
    await proxy.settled()
    status, tar = await _exported(proxy, f"docker.io/{NAME}:1")
    assert status == 200
    upstreams = {"docker.io": {"hosts": [{"url": upstream.url}], "tags": [{"match": "*", "policy": "if-not-present"}]}}
    async with rig(tmp_path / "second", upstreams, clock) as second:
        assert await _imported(second, tar) == 200
        del upstream.repositories[NAME]
        before = len(upstream.ledger)
        clock.now += 12 * HOUR
        for path in (images.tag, images.by_digest()[0][1], images.by_digest()[4][1]):
            assert (await second.ask(path)).status == 200
        assert len(upstream.ledger) == before


async def _exported(proxy: Rig, image: str) -> tuple[int, bytes]:
    url = f"http://127.0.0.1:{proxy.admin_port}/api/v1/store/export?image={image}"
    async with proxy.session.get(url) as response:
        return response.status, await response.read()


async def _imported(proxy: Rig, tar: bytes) -> int:
    async with proxy.session.post(f"http://127.0.0.1:{proxy.admin_port}/api/v1/store/import", data=tar, headers=TAR) as response:
        await response.read()
        return response.status


async def test_n12_06_our_wrong_password_closes_nothing(tmp_path: Path, clock: Clock) -> None:
    """It says something about us, and nothing about a repository."""
    async with FakeRegistry(auth="basic") as upstream:
        images = Images(upstream)
        hosts = [{"url": upstream.url, "credentials": {"username": "user", "password": "canary-password"}}]
        async with rig(tmp_path / "store", {"docker.io": {"hosts": hosts}}, clock) as proxy:
            await _pulled(proxy, images)
            upstream.password = "another"
            clock.now += 12 * HOUR
            assert set(await _answers(proxy, images)) <= {200, 206, 304}
