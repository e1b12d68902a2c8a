"""Row U08 for hosts that are trusted only to pull: what such a host sends first nobody sees before it is verified."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from regproxy.fill import holdback
from tests.fakes.deeds import Chunked, Cut, Deed, Lie, NoLength, NoRanges, Paced, Stall, Status
from tests.fakes.entry import on
from tests.fakes.registry import FakeRegistry
from tests.rig import PATIENT, QUICK, Rig, get, raw, rig

NAME = "library/app"
BLOB = os.urandom(3_000_000)
LARGE = os.urandom(17_000_000)  # more than is held back


def _path(digest: object) -> str:
    return f"/v2/{NAME}/blobs/{digest}?ns=docker.io"


@pytest.fixture
async def mirror() -> AsyncIterator[FakeRegistry]:
    async with FakeRegistry() as registry:
        yield registry


@pytest.fixture
async def proxy(mirror: FakeRegistry, upstream: FakeRegistry, tmp_path: Path) -> AsyncIterator[Rig]:
    hosts = [{"url": mirror.url, "trust": ["pull"]}, {"url": upstream.url}]
    async with rig(
        tmp_path / "store", {"docker.io": {"hosts": hosts}}, timeouts={**PATIENT, "silence": "20s", "progress": "20s"}
    ) as running:
        yield running


def _held_by_both(mirror: FakeRegistry, upstream: FakeRegistry, body: bytes) -> object:
    mirror.add_blob(NAME, body)
    return upstream.add_blob(NAME, body)


LIES = [
    pytest.param([Lie(lambda body: b"?" + body[1:])], id="wrong bytes"),
    pytest.param([Lie(lambda body: body[:-1])], id="too few"),
    pytest.param([Lie(b"<html>")], id="a page"),
    pytest.param([Lie(lambda body: b"?" + body[1:]), Cut(1_000_000)], id="wrong and cut, the rest from another"),
]


@pytest.mark.parametrize("deeds", LIES)
async def test_u08_a_strangers_lie_is_not_seen(mirror: FakeRegistry, upstream: FakeRegistry, proxy: Rig, deeds: list[Deed]) -> None:
    digest = _held_by_both(mirror, upstream, BLOB)
    mirror.misbehave("/blobs/", *deeds)
    assert (await proxy.ask(_path(digest))).body == BLOB
    assert mirror.count("GET", "blobs") == 1


@pytest.mark.parametrize("trust", [["pull"], ["pull", "resolve"]], ids=["a mirror", "a registry"])
async def test_who_calls_a_blob_empty_is_rejected_and_another_host_asked(
    mirror: FakeRegistry, upstream: FakeRegistry, tmp_path: Path, trust: list[str]
) -> None:
    """There is no byte of it to blame anybody for, and none that a client has seen."""
    digest = _held_by_both(mirror, upstream, BLOB)
    mirror.misbehave("/blobs/", Lie(b""))
    hosts = [{"url": mirror.url, "trust": trust}, {"url": upstream.url}]
    async with rig(tmp_path / "store", {"docker.io": {"hosts": hosts}}) as proxy:
        assert (await proxy.ask(_path(digest))).body == BLOB
        assert {host["url"]: host["corrupt_responses"] for host in await proxy.hosts()} == {mirror.url: 1, upstream.url: 0}


@pytest.mark.parametrize("trust", [["pull"], ["pull", "resolve"]], ids=["a mirror", "a registry"])
async def test_wrong_bytes_of_no_stated_length_are_not_seen(
    mirror: FakeRegistry, upstream: FakeRegistry, tmp_path: Path, trust: list[str]
) -> None:
    """A response that could not begin before its length was known has nothing in it that would have to be called back."""
    digest = _held_by_both(mirror, upstream, BLOB)
    mirror.misbehave("/blobs/", NoRanges(), NoLength(), Lie(lambda body: b"?" + body[1:]))
    hosts = [{"url": mirror.url, "trust": trust}, {"url": upstream.url}]
    async with rig(tmp_path / "store", {"docker.io": {"hosts": hosts}}) as proxy:
        assert (await proxy.ask(_path(digest))).body == BLOB
        assert {host["url"]: host["corrupt_responses"] for host in await proxy.hosts()} == {mirror.url: 1, upstream.url: 0}


@pytest.mark.parametrize("framing", [NoLength(), Chunked()], ids=["to the end of the connection", "in chunks"])
async def test_a_blob_that_never_ends_is_whole_where_another_host_says_so(
    mirror: FakeRegistry, upstream: FakeRegistry, tmp_path: Path, framing: Deed
) -> None:
    """What it is asked for then begins behind the end of the blob: 416 with the length is an answer, and no failure of its."""
    digest = _held_by_both(mirror, upstream, BLOB)
    mirror.misbehave("/blobs/", NoRanges(), framing, Stall(len(BLOB)))
    hosts = [{"url": mirror.url}, {"url": upstream.url}]
    async with rig(tmp_path / "store", {"docker.io": {"hosts": hosts}}, timeouts=QUICK) as proxy:
        assert (await proxy.ask(_path(digest))).body == BLOB
        assert {host["url"]: host["failures"] > 0 for host in await proxy.hosts()} == {mirror.url: True, upstream.url: False}


@pytest.mark.parametrize("status", [503, 429])
async def test_a_blob_that_never_ends_and_is_too_long_is_asked_of_another_host(
    mirror: FakeRegistry, upstream: FakeRegistry, tmp_path: Path, status: int
) -> None:
    """All others say then is that there is nothing so far behind its end, to whatever it is asked to go on with."""
    digest = _held_by_both(mirror, upstream, BLOB)
    mirror.misbehave("/blobs/", NoRanges(), NoLength(), Lie(BLOB + b"more"), Stall(len(BLOB) + 4), times=2)
    mirror.misbehave("/blobs/", Status(status))
    async with rig(tmp_path / "store", {"docker.io": {"hosts": [{"url": mirror.url}, {"url": upstream.url}]}}, timeouts=QUICK) as proxy:
        assert (await proxy.ask(_path(digest))).body == BLOB


@pytest.mark.parametrize("status", [503, 429])
async def test_what_a_host_left_behind_the_end_of_a_blob_is_not_gone_on_with(
    mirror: FakeRegistry, upstream: FakeRegistry, tmp_path: Path, status: int
) -> None:
    """It told a length that is too large, says so of it again, and then sends nothing; the other says that there is no more."""
    digest = _held_by_both(mirror, upstream, BLOB)
    mirror.misbehave(on("GET", "/blobs/"), NoRanges(), Lie(BLOB + b"more"), Cut(len(BLOB) + 2), times=1)
    mirror.misbehave(on("GET", "/blobs/"), Status(status))
    mirror.misbehave(on("HEAD", "/blobs/"), Lie(BLOB + b"more"))
    upstream.misbehave("/blobs/", Status(503))
    hosts = [{"url": mirror.url, "trust": ["pull"]}, {"url": upstream.url}]
    async with rig(tmp_path / "store", {"docker.io": {"hosts": hosts}}) as proxy:
        assert not (await proxy.ask(_path(digest))).is_whole
        await proxy.settled()
        upstream.behave()
        assert (await proxy.ask(_path(digest))).body == BLOB


async def test_a_stranger_who_is_right_is_asked_again(mirror: FakeRegistry, upstream: FakeRegistry, proxy: Rig) -> None:
    for body in (BLOB, BLOB[1:]):
        assert (await proxy.ask(_path(_held_by_both(mirror, upstream, body)))).body == body
    assert upstream.count("GET", "blobs") == 0


async def test_who_lied_is_a_stranger_again(mirror: FakeRegistry, upstream: FakeRegistry, proxy: Rig) -> None:
    assert (await proxy.ask(_path(_held_by_both(mirror, upstream, BLOB)))).is_whole
    mirror.misbehave("/blobs/", Lie(lambda body: b"?" + body[1:]))
    digest = _held_by_both(mirror, upstream, BLOB[1:])
    assert not (await proxy.ask(_path(digest))).is_whole, "it was trusted, so what it sent was passed on"
    await upstream.stop()
    answer = await proxy.ask(_path(digest))
    assert (answer.status, b"nobody saw them" in answer.body) == (502, True)


async def test_what_is_too_large_to_hold_is_passed_on_and_never_ends_wrong(
    mirror: FakeRegistry, upstream: FakeRegistry, proxy: Rig
) -> None:
    digest = _held_by_both(mirror, upstream, LARGE)
    mirror.misbehave("/blobs/", Lie(lambda body: b"?" + body[1:]))
    assert not (await proxy.ask(_path(digest))).is_whole
    assert (await proxy.ask(_path(digest))).body == LARGE


async def test_what_a_stranger_sends_slowly_is_passed_on(mirror: FakeRegistry, upstream: FakeRegistry, proxy: Rig) -> None:
    digest = _held_by_both(mirror, upstream, BLOB)
    stall = Stall(1_000_000)
    mirror.misbehave("/blobs/", stall)
    begun = await raw(proxy.port, get(_path(digest)), read=500_000)
    assert len(begun.body) > 400_000
    stall.event.set()
    assert (await proxy.ask(_path(digest))).body == BLOB


async def test_what_a_stranger_sends_is_passed_on_once_another_blob_of_it_was_right(
    mirror: FakeRegistry, upstream: FakeRegistry, proxy: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The config of an image is, long before its layers are whole."""
    monkeypatch.setattr(holdback, "_TIMEOUT", 3600.0)
    monkeypatch.setattr(holdback, "_LOOKS", 36_000)
    digest, config = (_held_by_both(mirror, upstream, body) for body in (BLOB, b"config"))
    stall = Stall(1_000_000)
    mirror.misbehave(str(digest), stall)
    reading = asyncio.create_task(raw(proxy.port, get(_path(digest)), read=500_000))
    await stall.reached.wait()
    assert (await proxy.ask(_path(config))).body == b"config"
    assert len((await reading).body) > 400_000
    stall.event.set()
    assert (await proxy.ask(_path(digest))).body == BLOB


async def test_who_has_no_more_parts_to_send_sends_the_whole_hardly_more_than_once(upstream: FakeRegistry, tmp_path: Path) -> None:
    """Behind one name there may be servers that send parts and others that do not; the whole, once it comes, is gone on with."""
    body = os.urandom(48_000_000)
    digest = upstream.add_blob(NAME, body)
    is_asked = on("GET", "/blobs/")
    upstream.misbehave(lambda entry: is_asked(entry) and entry.headers.get("range", "bytes=0-").startswith("bytes=0-"), Paced(8_000_000))
    upstream.misbehave(is_asked, NoRanges())
    async with rig(tmp_path / "store", {"docker.io": upstream.url}, timeouts=PATIENT) as proxy:
        assert (await proxy.ask(_path(digest))).body == body
    assert upstream.sent_blob_bytes() <= 3.5 * len(body), "of what eleven were asked for no more comes than sockets hold"


async def test_a_host_that_a_part_has_shown_to_be_near_and_is_slow_is_asked_over_several_connections(
    upstream: FakeRegistry, tmp_path: Path
) -> None:
    """That it answers at once says nothing of how fast it sends."""
    body = os.urandom(24_000_000)
    digest, small = upstream.add_blob(NAME, body), upstream.add_blob(NAME, b"small")
    upstream.misbehave(on("GET", "/blobs/"), Paced(4_000_000))
    async with rig(tmp_path / "store", {"docker.io": upstream.url}, timeouts=PATIENT) as proxy:
        assert (await proxy.ask(_path(small))).body == b"small"
        assert (await proxy.ask(_path(digest))).body == body
    assert upstream.count("GET", "blobs") > 4
    assert upstream.sent_blob_bytes() == len(body) + len(b"small")
