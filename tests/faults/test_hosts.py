"""Hosts that break, lie, throttle and expire in the middle of a blob, by row."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from regproxy.oci.digest import Digest
from tests.fakes.deeds import (
    Chunked,
    Cut,
    CutShare,
    Deed,
    Drop,
    Headers,
    Hold,
    Lie,
    NoLength,
    NoRanges,
    Paced,
    Redirect,
    Reset,
    ShortChunked,
    Stall,
    Status,
)
from tests.fakes.entry import on
from tests.fakes.registry import FakeRegistry
from tests.free_port import free_port
from tests.rig import LOOPBACK, PATIENT, QUICK, Rig, rig

NAME = "library/app"
BLOB = os.urandom(3_000_000)
BRISK = {**QUICK, "slow_for": "1s", "progress": "5s"}


def _path(digest: object) -> str:
    return f"/v2/{NAME}/blobs/{digest}?ns=docker.io"


def _hosts(*registries: FakeRegistry | str) -> dict[str, object]:
    """Trust the last one with tags too."""
    urls = [registry if isinstance(registry, str) else registry.url for registry in registries]
    return {"docker.io": {"hosts": [*({"url": url, "trust": ["pull"]} for url in urls[:-1]), {"url": urls[-1]}]}}


@pytest.fixture
async def mirror() -> AsyncIterator[FakeRegistry]:
    async with FakeRegistry() as registry:
        yield registry


@pytest.fixture
def digest(mirror: FakeRegistry, upstream: FakeRegistry) -> Digest:
    mirror.add_blob(NAME, BLOB)
    return upstream.add_blob(NAME, BLOB)


@pytest.fixture
async def pair(mirror: FakeRegistry, upstream: FakeRegistry, tmp_path: Path) -> AsyncIterator[Rig]:
    """Run regproxy with a mirror in front of the registry."""
    async with rig(tmp_path / "store", _hosts(mirror, upstream), timeouts=BRISK) as running:
        yield running


BREAKS = [
    pytest.param([Cut(1_000_000)], id="u05 cut"),
    pytest.param([Reset(1_000_000)], id="u09 reset"),
    pytest.param([Stall(1_000_000)], id="u11 silence"),
    pytest.param([Paced(2000)], id="u12 trickle"),
    pytest.param([NoLength(at=1_000_000)], id="u06 a part without length, FIN"),
    pytest.param([NoLength(at=1_000_000, rst=True)], id="u06 a part without length, RST"),
    pytest.param([ShortChunked(1_000_000)], id="u07 a part, short chunked"),
    pytest.param([Chunked(), Cut(1_000_000)], id="chunked, cut"),
    pytest.param([NoRanges(), Cut(1_000_000)], id="the whole, cut"),
]


@pytest.mark.parametrize("deeds", BREAKS)
async def test_a_transfer_that_breaks_goes_on_at_the_next_host(
    mirror: FakeRegistry, upstream: FakeRegistry, pair: Rig, digest: Digest, deeds: list[Deed]
) -> None:
    mirror.misbehave(on("GET", "/blobs/"), *deeds)
    answer = await pair.ask(_path(digest))
    assert answer.body == BLOB
    assert (mirror.count("GET", "blobs"), upstream.count("GET", "blobs")) == (1, 1)
    if deeds != [Paced(2000)]:
        assert upstream.sent_blob_bytes() == len(BLOB) - 1_000_000, "what had come is not fetched again"
    assert "regproxy_fill_resumes_total" in await pair.metrics()


@pytest.mark.parametrize("deeds", [[Cut(1_000_000)], [Reset(1_000_000)], [Chunked(), Cut(1_000_000)]], ids=["cut", "reset", "chunked"])
async def test_a_transfer_that_breaks_goes_on_at_the_only_host(upstream: FakeRegistry, proxy: Rig, deeds: list[Deed]) -> None:
    """Even where every answer breaks: three times a third is the whole."""
    digest = upstream.add_blob(NAME, BLOB)
    upstream.misbehave("/blobs/", *deeds)
    assert (await proxy.ask(_path(digest))).body == BLOB
    assert upstream.sent_blob_bytes() == len(BLOB)


async def test_u05_not_a_byte_is_lost_where_every_answer_is_cut_at_a_third(upstream: FakeRegistry, proxy: Rig) -> None:
    """Down to the last one: what came just before the end of a connection counts too."""
    digest = upstream.add_blob(NAME, BLOB)
    upstream.misbehave("/blobs/", CutShare(1 / 3))
    assert (await proxy.ask(_path(digest))).body == BLOB
    assert upstream.sent_blob_bytes() == len(BLOB)


UNREACHABLE = [
    pytest.param([Hold()], id="u10 accepts, never answers"),
    pytest.param([Drop()], id="u13 hangs up"),
    pytest.param([Drop(rst=True)], id="u13 hangs up hard"),
    pytest.param([Status(500)], id="u20 500"),
    pytest.param([Status(429, {"Retry-After": "60"})], id="u22 throttles"),
    pytest.param([Status(404)], id="has it not"),
    pytest.param([Headers({"X-Long": "x" * 40_000})], id="u32 a header too long"),
    pytest.param([Headers({"Content-Range": "bytes 7-2999999/3000000"})], id="u28 a wrong Content-Range"),
    pytest.param([Headers({"Content-Range": "bytes what?"})], id="u28 a senseless Content-Range"),
    pytest.param([Redirect("http://10.1.2.3/blob")], id="redirects to where it may not"),
]


@pytest.mark.parametrize("deeds", UNREACHABLE)
async def test_a_host_that_cannot_begin_is_passed_over(
    mirror: FakeRegistry, upstream: FakeRegistry, pair: Rig, digest: Digest, deeds: list[Deed]
) -> None:
    mirror.misbehave("/blobs/", *deeds)
    assert (await pair.ask(_path(digest))).body == BLOB
    assert upstream.sent_blob_bytes() == len(BLOB)


async def test_u13_nobody_listens_at_the_mirror(upstream: FakeRegistry, tmp_path: Path, digest: Digest) -> None:
    async with rig(tmp_path / "store", _hosts(f"http://{LOOPBACK}:{free_port()}", upstream)) as proxy:
        assert (await proxy.ask(_path(digest))).body == BLOB


WRONG_PARTS = [
    pytest.param([NoRanges()], id="the whole, where a part was asked for"),
    pytest.param([Headers({"Content-Range": "bytes 0-1999999/3000000"})], id="a part from elsewhere"),
    pytest.param([Headers({"Content-Range": "bytes 1000000-2999998/2999999"})], id="a part of something of another size"),
    pytest.param([Status(416)], id="no such part"),
]


@pytest.mark.parametrize("deeds", WRONG_PARTS)
async def test_u28_what_is_not_the_rest_is_never_spliced(upstream: FakeRegistry, proxy: Rig, deeds: list[Deed]) -> None:
    digest = upstream.add_blob(NAME, BLOB)
    upstream.misbehave("/blobs/", Cut(1_000_000), times=1)
    upstream.misbehave("/blobs/", *deeds, times=1)
    assert (await proxy.ask(_path(digest))).body == BLOB


async def test_a_registry_without_ranges_is_read_in_one_go(upstream: FakeRegistry, proxy: Rig) -> None:
    body = os.urandom(12_000_000)
    digest = upstream.add_blob(NAME, body)
    upstream.misbehave("/blobs/", NoRanges())
    assert (await proxy.ask(_path(digest))).body == body
    assert (upstream.count("GET", "blobs"), upstream.sent_blob_bytes()) == (1, len(body))


async def test_an_empty_blob_has_no_range(upstream: FakeRegistry, proxy: Rig) -> None:
    digest = upstream.add_blob(NAME, b"")
    answer = await proxy.ask(_path(digest))
    assert (answer.status, answer.body) == (200, b"")


async def test_u29_a_signed_address_that_expired_is_asked_for_again_once(upstream: FakeRegistry, proxy: Rig) -> None:
    digest = upstream.add_blob(NAME, BLOB)
    upstream.add_file("/store/fresh?sig=a%2Bb%7Ec%27", BLOB)
    upstream.misbehave("/blobs/", Redirect("/store/stale?sig=1"), times=1)
    upstream.misbehave("/blobs/", Redirect("/store/fresh?sig=a%2Bb%7Ec%27"))
    upstream.misbehave("/store/stale", Status(403))
    assert (await proxy.ask(_path(digest))).body == BLOB
    assert upstream.count("GET", "blobs") == 2


async def test_u29_and_no_more_than_once(upstream: FakeRegistry, proxy: Rig) -> None:
    digest = upstream.add_blob(NAME, BLOB)
    upstream.misbehave("/blobs/", Redirect("/store/stale?sig=1"))
    upstream.misbehave("/store/stale", Status(403))
    assert (await proxy.ask(_path(digest))).status == 403
    assert upstream.count("GET", "blobs") == 2


async def test_u33_a_connection_that_closes_as_we_send_is_not_noticed(upstream: FakeRegistry, proxy: Rig) -> None:
    first, second = upstream.add_blob(NAME, b"first"), upstream.add_blob(NAME, b"second")
    upstream.misbehave(str(first), Cut(100), times=1)  # past the end: the connection is closed without a word
    assert (await proxy.ask(_path(first))).body == b"first"
    assert (await proxy.ask(_path(second))).body == b"second"


async def test_a_blob_that_came_wrong_from_two_hosts_convicts_the_liar(
    mirror: FakeRegistry, upstream: FakeRegistry, pair: Rig, digest: Digest
) -> None:
    """The mirror lied in its part, then broke off; the next copy comes from one host, and tells which part was wrong."""
    known = mirror.add_blob(NAME, b"right")
    assert (await pair.ask(_path(known))).status == 200, "no stranger any more, whose lies nobody would see"
    mirror.misbehave(on("GET", "/blobs/"), Lie(lambda body: b"?" + body[1:]), Cut(1_000_000), times=1)
    assert not (await pair.ask(_path(digest))).is_whole
    await pair.settled()
    assert (await pair.ask(_path(digest))).body == BLOB
    await pair.settled()
    other = upstream.add_blob(NAME, b"other")
    mirror.add_blob(NAME, b"other")
    asked = mirror.count("GET", "blobs")
    assert (await pair.ask(_path(other))).body == b"other"
    assert mirror.count("GET", "blobs") == asked, "the one that was right is asked"


async def test_p09_no_client_waits_for_ever(upstream: FakeRegistry, tmp_path: Path) -> None:
    """Every host is silent, every time: the response is cut short, the client may turn to somebody else."""
    digest = upstream.add_blob(NAME, BLOB)
    upstream.misbehave("/blobs/", Stall(1000), times=1)
    upstream.misbehave("/blobs/", Hold())
    async with rig(tmp_path / "store", _hosts(upstream), timeouts={**QUICK, "progress": "1500ms"}) as proxy:
        answer = await proxy.ask(_path(digest))
    assert (answer.status, answer.is_whole) == (200, False)


async def test_what_a_fill_that_failed_has_brought_is_not_fetched_again(upstream: FakeRegistry, tmp_path: Path) -> None:
    digest = upstream.add_blob(NAME, BLOB)
    upstream.misbehave("/blobs/", Cut(1_000_000), times=1)
    failing = upstream.misbehave("/blobs/", Status(500))
    async with rig(tmp_path / "store", _hosts(upstream), timeouts=BRISK) as proxy:
        assert not (await proxy.ask(_path(digest))).is_whole
        await proxy.settled()
        failing.times = 0
        assert (await proxy.ask(_path(digest))).body == BLOB
    assert upstream.sent_blob_bytes() == len(BLOB) + 1


async def test_p19_slow_blobs_do_not_hold_up_manifests(upstream: FakeRegistry, tmp_path: Path) -> None:
    upstream.add_image(NAME, "1", [b"layer"])
    stall = Stall(1)
    upstream.misbehave("/blobs/", stall)
    digests = [upstream.add_blob(NAME, os.urandom(1000)) for _ in range(60)]
    async with rig(tmp_path / "store", _hosts(upstream), timeouts=PATIENT) as proxy:
        slow = [asyncio.create_task(proxy.ask(_path(digest))) for digest in digests]
        await upstream.seen("/blobs/", 60)
        assert (await proxy.ask(f"/v2/{NAME}/manifests/1?ns=docker.io")).status == 200
        stall.event.set()
        assert {answer.status for answer in await asyncio.gather(*slow)} == {200}


async def test_hosts_tell_how_they_are_doing(mirror: FakeRegistry, upstream: FakeRegistry, pair: Rig, digest: Digest) -> None:
    mirror.misbehave(on("GET", "/blobs/"), Cut(1_000_000))
    assert (await pair.ask(_path(digest))).body == BLOB
    best, other = await pair.hosts()
    assert (best["url"], best["rank"], best["backoff_seconds"], best["last_error"]) == (upstream.url, 1, 0, "")
    assert best["bytes_per_second"] > 0 < best["first_byte"]
    assert (other["url"], other["rank"]) == (mirror.url, 2)
    assert other["backoff_seconds"] > 0 < other["failures"]
    assert "broke off" in other["last_error"]
    told = await pair.metrics()
    assert f'regproxy_upstream_rank{{host="{mirror.host}",upstream="docker.io"}} 2.0' in told
    assert 'regproxy_fill_resumes_total{reason="broken"}' in told


async def test_a_resume_is_logged_with_its_reason(upstream: FakeRegistry, proxy: Rig, caplog: pytest.LogCaptureFixture) -> None:
    digest = upstream.add_blob(NAME, BLOB)
    upstream.misbehave("/blobs/", Cut(1_000_000), times=1)
    with caplog.at_level("INFO", "regproxy.fill.source"):
        await proxy.ask(_path(digest))
    (record,) = caplog.records
    told = vars(record)["fields"]
    assert (record.message, told["offset"], told["reason"]) == ("resuming", 1_000_000, "broken")
    assert upstream.host in told["error"]


@pytest.mark.hedging
async def test_a_slow_start_is_hedged(mirror: FakeRegistry, upstream: FakeRegistry, pair: Rig, digest: Digest) -> None:
    """The mirror holds its answer back, well past its usual time: the registry is asked too, and the mirror is let go."""
    hold = Hold()
    mirror.misbehave("/blobs/", hold)
    small = mirror.add_blob(NAME, b"small")
    upstream.add_blob(NAME, b"small")
    assert (await pair.ask(_path(small))).body == b"small"
    assert (mirror.count("GET", "blobs"), upstream.count("GET", "blobs")) == (1, 1)
    assert digest


async def test_u20_what_fails_half_the_time_is_not_asked_twice_as_often(upstream: FakeRegistry, proxy: Rig) -> None:
    digests = [upstream.add_blob(NAME, os.urandom(1000)) for _ in range(200)]
    for number in range(0, 200, 2):
        upstream.misbehave(str(digests[number]), Status(500))
    await asyncio.gather(*(proxy.ask(_path(digest)) for digest in digests))
    assert upstream.count("GET", "blobs") <= 220
