"""Signatures and other things that are attached to an image: what was attached a moment ago is found."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from regproxy.oci.descriptor import Descriptor
from regproxy.oci.digest import Digest
from tests.fakes.deeds import Headers, Hold, Status
from tests.fakes.entry import on
from tests.fakes.registry import FakeRegistry
from tests.rig import Rig, rig

NAME = "team/app"
SUFFIXES = ["", ".sig", ".att", ".sbom", "-cosign"]


@pytest.fixture(params=["always", "if-not-present", "on-failure"])
async def usual(upstream: FakeRegistry, tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
    """Run regproxy with rules by which tags are believed for a day."""
    rules = [{"policy": request.param, "fresh_for": "1d", "missing_for": "1h"}]
    upstream.has_referrers = False
    async with rig(tmp_path / "store", {"docker.io": {"hosts": [{"url": upstream.url}], "tags": rules}}) as running:
        yield running


async def _digest(proxy: Rig, tag: str) -> str | int:
    answer = await proxy.ask(f"/v2/{NAME}/manifests/{tag}")
    return answer.headers["Docker-Content-Digest"] if answer.status == 200 else answer.status


async def _referrers(proxy: Rig, subject: Descriptor) -> list[str]:
    answer = await proxy.ask(f"/v2/{NAME}/referrers/{subject.digest}")
    return [found["digest"] for found in json.loads(answer.body)["manifests"]]


async def test_n13_20_what_was_attached_a_moment_ago_is_found_by_the_tag_schema(upstream: FakeRegistry, usual: Rig) -> None:
    subject = upstream.add_image(NAME, "1", [b"layer"])
    tag = f"sha256-{subject.digest.hex}"
    assert await _referrers(usual, subject) == []
    attached: list[Descriptor] = []
    for number in range(3):
        attached.append(upstream.add_image(NAME, None, [b"signature %d" % number], subject))
        upstream.add_index(NAME, tag, attached)
        assert await _referrers(usual, subject) == [str(each.digest) for each in attached]


@pytest.mark.parametrize("suffix", SUFFIXES)
async def test_n13_20_a_signature_is_asked_for_each_time(upstream: FakeRegistry, usual: Rig, suffix: str) -> None:
    tag = f"sha256-{Digest.of(b'image').hex}{suffix}"
    upstream.add_image(NAME, "1", [b"layer"])
    assert await _digest(usual, tag) == 404
    for number in range(3):
        image = upstream.add_image(NAME, tag, [b"signature %d" % number])
        assert await _digest(usual, tag) == str(image.digest)
    upstream.remove_tag(NAME, tag)
    assert await _digest(usual, tag) == 404


async def test_n13_20_other_tags_are_asked_for_as_seldom_as_before(upstream: FakeRegistry, usual: Rig) -> None:
    for tag in ("1", "sha256-abc.sig", f"v-sha256-{Digest.of(b'image').hex}"):
        first = upstream.add_image(NAME, tag, [b"first"])
        assert await _digest(usual, tag) == str(first.digest)
        upstream.add_image(NAME, tag, [b"second"])
        assert await _digest(usual, tag) == str(first.digest)


async def test_n13_20_a_known_signature_is_served_in_an_outage(upstream: FakeRegistry, usual: Rig) -> None:
    tag = f"sha256-{Digest.of(b'image').hex}.sig"
    image = upstream.add_image(NAME, tag, [b"signature"])
    assert await _digest(usual, tag) == str(image.digest)
    upstream.misbehave("/v2/", Status(503))
    answer = await usual.ask(f"/v2/{NAME}/manifests/{tag}")
    assert (answer.status, "Warning" in answer.headers) == (200, True)


async def test_n13_20_an_upstream_that_takes_its_time_is_no_outage(upstream: FakeRegistry, tmp_path: Path) -> None:
    tag = f"sha256-{Digest.of(b'image').hex}.sig"
    first, held = upstream.add_image(NAME, tag, [b"first"]), Hold()
    timeouts = {"revalidate": "10ms", "headers": "30s"}
    async with rig(tmp_path / "store", {"docker.io": upstream.url}, timeouts=timeouts) as proxy:
        assert await _digest(proxy, tag) == str(first.digest)
        second = upstream.add_image(NAME, tag, [b"second"])
        upstream.misbehave(on("HEAD", "/manifests/"), held, times=1)
        asking = asyncio.create_task(_digest(proxy, tag))
        await held.reached.wait()
        await asyncio.wait({asking}, timeout=0.1)
        held.event.set()
        assert await asking == str(second.digest)


async def test_n13_20_few_pulls_left_are_no_reason_to_miss_a_signature(upstream: FakeRegistry, proxy: Rig) -> None:
    tag = f"sha256-{Digest.of(b'image').hex}.sig"
    upstream.misbehave(on("GET", "/manifests/"), Headers({"ratelimit-limit": "100;w=21600", "ratelimit-remaining": "5;w=21600"}))
    upstream.add_image(NAME, tag, [b"first"])
    await _digest(proxy, tag)
    second = upstream.add_image(NAME, tag, [b"second"])
    assert await _digest(proxy, tag) == str(second.digest)


async def test_n13_20_a_rule_for_such_tags_is_followed(upstream: FakeRegistry, tmp_path: Path) -> None:
    rules = [{"match": "*:sha256-*", "policy": "always", "fresh_for": "1d"}]
    tag = f"sha256-{Digest.of(b'image').hex}.sig"
    async with rig(tmp_path / "store", {"docker.io": {"hosts": [{"url": upstream.url}], "tags": rules}}) as proxy:
        first = upstream.add_image(NAME, tag, [b"first"])
        assert await _digest(proxy, tag) == str(first.digest)
        upstream.add_image(NAME, tag, [b"second"])
        assert await _digest(proxy, tag) == str(first.digest)


async def test_n13_20_never_is_never(upstream: FakeRegistry, tmp_path: Path) -> None:
    upstream.add_image(NAME, f"sha256-{Digest.of(b'image').hex}.sig", [b"signature"])
    entry = {"hosts": [{"url": upstream.url}], "tags": [{"policy": "never"}]}
    async with rig(tmp_path / "store", {"docker.io": entry}) as proxy:
        assert await _digest(proxy, f"sha256-{Digest.of(b'image').hex}.sig") == 404
    assert upstream.ledger == []


async def test_n12_14_identical_lists_of_referrers_are_asked_for_once(upstream: FakeRegistry, proxy: Rig) -> None:
    subject, held = upstream.add_image(NAME, "1", [b"layer"]), Hold()
    signature = upstream.add_image(NAME, None, [b"signature"], subject)
    upstream.misbehave(on("GET", "/referrers/"), held)
    asking = [asyncio.create_task(_referrers(proxy, subject)) for _ in range(10)]
    await held.reached.wait()
    flights = proxy.proxy.handlers.listings._asking
    while sum(len(waiters) for waiters in flights._waiters.values()) < 4:  # noqa: ASYNC110 -- as many as are let in at once
        await asyncio.sleep(0.01)
    held.event.set()
    assert await asyncio.gather(*asking) == [[str(signature.digest)]] * 10
    assert upstream.count("GET", "referrers") < 10


async def test_n12_14_pages_of_referrers_are_bounded_together(upstream: FakeRegistry, proxy: Rig) -> None:
    subject = upstream.add_image(NAME, "1", [b"layer"])
    page = {"schemaVersion": 2, "manifests": [{"digest": str(subject.digest), "annotations": {"a": "b" * 3_000_000}}]}
    link = f'</v2/{NAME}/referrers/{subject.digest}?page=2>; rel="next"'
    upstream.misbehave("/referrers/", Status(200, {"Link": link}, json.dumps(page).encode()))
    assert (await proxy.ask(f"/v2/{NAME}/referrers/{subject.digest}")).status == 502
    assert upstream.count("GET", "referrers") == 3


async def test_n13_20_stale_referrers_by_the_tag_schema_say_so(upstream: FakeRegistry, proxy: Rig) -> None:
    upstream.has_referrers = False
    subject = upstream.add_image(NAME, "1", [b"layer"])
    upstream.add_index(NAME, f"sha256-{subject.digest.hex}", [upstream.add_image(NAME, None, [b"signature"], subject)])
    assert len(await _referrers(proxy, subject)) == 1
    upstream.misbehave("/manifests/", Status(503))
    answer = await proxy.ask(f"/v2/{NAME}/referrers/{subject.digest}")
    assert (answer.status, answer.headers["Cache-Status"].split(";")[1]) == (200, " fwd=stale")
