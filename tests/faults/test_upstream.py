"""Upstream faults, by row."""

import asyncio
import os
import shutil
from pathlib import Path

import pytest

from tests.fakes.deeds import Cut, Deed, Hold, Lie, NoLength, NoRanges, Reset, ShortChunked, Stall, Status
from tests.fakes.registry import FakeRegistry
from tests.free_port import free_port
from tests.rig import LOOPBACK, PATIENT, Answer, Rig, get, raw, rig

NAME = "library/app"
BLOB = os.urandom(3_000_000)


def _path(digest: object) -> str:
    return f"/v2/{NAME}/blobs/{digest}?ns=docker.io"


def _tag(tag: str) -> str:
    return f"/v2/{NAME}/manifests/{tag}?ns=docker.io"


async def test_u01_two_hundred_cold_clients_are_one_upstream_request(upstream: FakeRegistry, proxy: Rig) -> None:
    digest = upstream.add_blob(NAME, BLOB)
    gate = Hold()
    upstream.misbehave("/blobs/", gate)
    asking = [asyncio.create_task(proxy.ask(_path(digest))) for _ in range(200)]
    await gate.reached.wait()
    gate.event.set()
    answers = await asyncio.gather(*asking)
    assert all(answer.body == BLOB for answer in answers)
    assert upstream.count("GET", "blobs") == 1
    assert upstream.sent_blob_bytes() == len(BLOB)


@pytest.mark.parametrize("share", [0, 0.1, 0.5, 0.99], ids=lambda share: f"{share:.0%}")
async def test_u03_b3_a_leader_who_leaves_harms_no_follower(upstream: FakeRegistry, proxy: Rig, share: float) -> None:
    digest = upstream.add_blob(NAME, BLOB)
    stall = Stall(int(len(BLOB) * share))
    upstream.misbehave("/blobs/", stall)
    leader = asyncio.create_task(raw(proxy.port, get(_path(digest)), read=1 if share else None))
    await stall.reached.wait()
    followers = [asyncio.create_task(proxy.ask(_path(digest))) for _ in range(3)]
    if share:
        await leader
    else:
        leader.cancel()
    stall.event.set()
    assert [answer.body for answer in await asyncio.gather(*followers)] == [BLOB] * 3
    assert upstream.count("GET", "blobs") == 1
    assert (await proxy.ask(_path(digest))).body == BLOB
    assert upstream.count("GET", "blobs") == 1


async def test_u04_b2_a_fill_goes_on_when_all_clients_have_left(upstream: FakeRegistry, proxy: Rig, tmp_path: Path) -> None:
    digest = upstream.add_blob(NAME, BLOB)
    stall = Stall(1000)
    upstream.misbehave("/blobs/", stall)
    await asyncio.gather(*(raw(proxy.port, get(_path(digest)), read=1) for _ in range(5)))
    stall.event.set()
    await proxy.settled()
    assert (await proxy.ask(_path(digest))).headers["Cache-Status"] == "regproxy; hit"
    assert upstream.count("GET", "blobs") == 1
    assert list((tmp_path / "store" / "ingest").iterdir()) == []


MUTILATIONS = [
    pytest.param([NoRanges(), NoLength(at=1_000_000)], id="u06 no length, FIN"),
    pytest.param([NoRanges(), ShortChunked(at=1_000_000)], id="u07 short chunked"),
    pytest.param([Lie(lambda body: body[:-1] + b"?")], id="u08 wrong bytes"),
]


@pytest.mark.parametrize("deeds", MUTILATIONS)
async def test_wrong_content_is_never_complete_and_never_kept(
    upstream: FakeRegistry, proxy: Rig, deeds: list[Deed], tmp_path: Path
) -> None:
    digest = upstream.add_blob(NAME, BLOB)
    upstream.misbehave("/blobs/", *deeds)
    answer = await proxy.ask(_path(digest))
    assert answer.status == 502 or not answer.is_whole
    assert len(answer.body) < len(BLOB)
    await proxy.settled()
    upstream.behave()
    assert list((tmp_path / "store" / "ingest").iterdir()) == []
    assert (await proxy.ask(_path(digest))).body == BLOB, "the next ask gets it right"


@pytest.mark.parametrize("deed", [Cut(1_000_000), Reset(1_000_000), Lie(lambda body: b"?" + body[1:])], ids=["cut", "reset", "lie"])
async def test_a_response_that_cannot_go_on_ends_by_fin_short_of_its_length(upstream: FakeRegistry, proxy: Rig, deed: Deed) -> None:
    digest = upstream.add_blob(NAME, BLOB)
    upstream.misbehave("/blobs/", deed, times=1)
    upstream.misbehave("/blobs/", Status(500))
    answer = await raw(proxy.port, get(_path(digest)))
    assert f"Content-Length: {len(BLOB)}".encode() in answer.received
    assert len(answer.body) < len(BLOB)
    assert not answer.was_reset


async def test_an_empty_body_is_no_blob_just_because_it_is_short(upstream: FakeRegistry, proxy: Rig) -> None:
    """With a length of 0 there is no last byte to hold back (distribution #4191 served such bodies for years)."""
    digest, nothing = upstream.add_blob(NAME, BLOB), upstream.add_blob(NAME, b"")
    upstream.misbehave(str(digest), Lie(b""))
    assert (await proxy.ask(_path(digest))).status == 502
    assert (await proxy.ask(_path(nothing))).status == 200
    upstream.behave()
    assert (await proxy.ask(_path(digest))).body == BLOB


async def test_more_blobs_than_connections_wait_for_their_turn(upstream: FakeRegistry, tmp_path: Path) -> None:
    """Waiting is our doing: it must not look like a silent host."""
    digests = [upstream.add_blob(NAME, f"blob {number}".encode()) for number in range(300)]
    gate = Hold()
    upstream.misbehave("/blobs/", gate)
    async with rig(tmp_path / "store", {"docker.io": upstream.url}, timeouts=PATIENT) as proxy:
        asking = [asyncio.create_task(proxy.ask(_path(digest))) for digest in digests]
        await upstream.seen("/blobs/", times=96)  # as many as one client gets
        gate.event.set()
        assert [answer.status for answer in await asyncio.gather(*asking)] == [200] * 300


async def test_u08_a_host_that_lied_is_asked_last(tmp_path: Path) -> None:
    async with FakeRegistry() as liar, FakeRegistry() as honest:
        first, second = (liar.add_blob(NAME, body) and honest.add_blob(NAME, body) for body in (BLOB, BLOB[1:]))
        liar.misbehave("/blobs/", Lie(lambda body: b"?" * len(body)))
        hosts = [{"url": liar.url, "trust": ["pull"]}, {"url": honest.url}]
        async with rig(tmp_path / "store", {"docker.io": {"hosts": hosts}}) as proxy:
            for digest in (first, second):
                assert (await proxy.ask(_path(digest))).is_whole
        assert (liar.count("GET", "blobs"), honest.count("GET", "blobs")) == (1, 2)


class TestUpstreamIsDown:
    """Rows U15 to U18: what is cached is served when everything upstream is dead."""

    @pytest.fixture
    async def cached(self, upstream: FakeRegistry, proxy: Rig) -> Answer:
        """Pull an image through, then stop the upstream."""
        upstream.add_image(NAME, "1", [BLOB])
        manifest = await proxy.ask(_tag("1"))
        assert (await proxy.ask(_path(upstream.add_blob(NAME, BLOB)))).status == 200
        await proxy.settled()
        await upstream.stop()
        return manifest

    async def test_u15_a_cached_digest_is_served_without_waiting(self, upstream: FakeRegistry, proxy: Rig, cached: Answer) -> None:
        asked = len(upstream.ledger)
        by_digest = await proxy.ask(_tag(cached.headers["Docker-Content-Digest"]))
        blob = await proxy.ask(_path(upstream.add_blob(NAME, BLOB)))
        assert (by_digest.body, blob.body) == (cached.body, BLOB)
        assert by_digest.headers["Cache-Status"] == blob.headers["Cache-Status"] == "regproxy; hit"
        assert len(upstream.ledger) == asked

    async def test_u16_a_cached_tag_is_served_stale_with_a_warning(self, proxy: Rig, cached: Answer) -> None:
        stale = await proxy.ask(_tag("1"))
        assert stale.body == cached.body
        assert stale.headers["Warning"].startswith('299 - "docker.io/library/app:1 may be stale: cannot connect to 127.0.0.1:')
        assert stale.headers["Cache-Status"].startswith("regproxy; fwd=stale")
        assert "regproxy_stale_served_total" in await proxy.metrics()

    async def test_u17_what_is_not_cached_is_refused_in_our_words(self, proxy: Rig, cached: Answer) -> None:
        answer = await proxy.ask(_tag("2"))
        assert answer.status == 502
        assert b"cannot connect to 127.0.0.1" in answer.body
        assert cached.status == 200

    async def test_u18_a_start_without_upstream_serves_what_is_cached(
        self, upstream: FakeRegistry, proxy: Rig, cached: Answer, tmp_path: Path
    ) -> None:
        """On a copy of the first one's store, since a tag's record survives a restart."""
        del proxy
        settings = {"hosts": [{"url": upstream.url}], "tags": [{"fresh_for": "0s"}]}
        await asyncio.to_thread(shutil.copytree, tmp_path / "store", tmp_path / "copy")
        async with rig(tmp_path / "copy", {"docker.io": settings}) as restarted:
            assert (await restarted.ask(_tag("1"))).body == cached.body
            assert (await restarted.ask(_path(upstream.add_blob(NAME, BLOB)))).body == BLOB


async def test_u16_a_silent_upstream_delays_a_known_tag_by_the_deadline_and_no_more(upstream: FakeRegistry, tmp_path: Path) -> None:
    upstream.add_image(NAME, "1", [b"layer"])
    settings = {"hosts": [{"url": upstream.url}], "tags": [{"fresh_for": "0s"}]}
    async with rig(tmp_path / "store", {"docker.io": settings}, timeouts={**PATIENT, "revalidate": "500ms"}) as proxy:
        fresh = await proxy.ask(_tag("1"))
        gate = Hold()
        upstream.misbehave("/manifests/", gate)
        stale = await proxy.ask(_tag("1"))
        assert stale.body == fresh.body
        assert "did not answer within 0.5 s" in stale.headers["Warning"]
        gate.event.set()


async def test_n20_01_while_an_upstream_is_silent_only_the_first_pull_waits_for_it(upstream: FakeRegistry, tmp_path: Path) -> None:
    """One question at a time is out meanwhile, and any answer ends it."""
    tags = [str(number) for number in range(5)]
    for tag in tags:
        upstream.add_image(NAME, tag, [tag.encode()])
    settings = {"hosts": [{"url": upstream.url}], "tags": [{"fresh_for": "0s"}]}
    async with rig(tmp_path / "store", {"docker.io": settings}, timeouts={**PATIENT, "revalidate": "500ms"}) as proxy:
        fresh = [await proxy.ask(_tag(tag)) for tag in tags]
        gate = Hold()
        upstream.misbehave("/manifests/", gate)
        before = len(upstream.ledger)
        stale = [await proxy.ask(_tag(tag)) for tag in [*tags, *tags]]
        assert [each.body for each in stale] == [each.body for each in [*fresh, *fresh]]
        assert ["did not answer within" in each.headers["Warning"] for each in stale] == [True] + [False] * 9
        assert len(upstream.ledger) == before + 1
        upstream.behave()
        gate.event.set()
        async with asyncio.timeout(60):
            while "Warning" in (await proxy.ask(_tag("4"))).headers:  # noqa: ASYNC110  the pull is what asks
                await asyncio.sleep(0)


async def test_u17_a_silent_upstream_is_a_gateway_timeout(upstream: FakeRegistry, proxy: Rig) -> None:
    upstream.misbehave("/manifests/", Hold())
    answer = await proxy.ask(_tag("1"))
    assert answer.status == 504
    assert b"did not answer in time" in answer.body


async def test_u17_nobody_listens_there(tmp_path: Path) -> None:
    async with rig(tmp_path / "store", {"docker.io": f"http://{LOOPBACK}:{free_port()}"}) as proxy:
        assert (await proxy.ask(_path("sha256:" + "a" * 64))).status == 502
        assert (await proxy.ask("/v2/")).status == 200


@pytest.mark.parametrize(("upstream_says", "client_hears"), [(404, 404), (403, 403), (401, 403)])
async def test_u25_an_answer_of_upstream_is_not_an_outage(
    upstream: FakeRegistry, proxy: Rig, upstream_says: int, client_hears: int
) -> None:
    """A 401 becomes 403: a challenge that passed through would make clients send us their passwords."""
    upstream.add_image(NAME, "1", [b"layer"])
    assert (await proxy.ask(_tag("1"))).status == 200
    upstream.misbehave("/manifests/", Status(upstream_says))
    answer = await proxy.ask(_tag("1"))
    assert answer.status == client_hears
    assert "WWW-Authenticate" not in answer.headers


@pytest.mark.parametrize("status", [500, 502, 503, 504, 429])
async def test_an_outage_of_upstream_is_not_an_answer(upstream: FakeRegistry, proxy: Rig, status: int) -> None:
    upstream.add_image(NAME, "1", [b"layer"])
    known = await proxy.ask(_tag("1"))
    upstream.misbehave("/manifests/", Status(status))
    assert (await proxy.ask(_tag("1"))).body == known.body
    unknown = await proxy.ask(_tag("2"))
    assert unknown.status == (503 if status == 429 else 502)
    assert ("Retry-After" in unknown.headers) == (status == 429)


async def test_u31_a_page_of_html_is_no_manifest(upstream: FakeRegistry, proxy: Rig) -> None:
    upstream.add_manifest(NAME, b"<html>login</html>", "text/html", tag="1")
    answer = await proxy.ask(_tag("1"))
    assert answer.status == 502
    assert b"<html>" not in answer.body
    upstream.add_image(NAME, "1", [b"layer"])
    await proxy.settled()


async def test_a_tag_is_revalidated_by_head_not_get(upstream: FakeRegistry, proxy: Rig) -> None:
    """Docker Hub counts a GET as a pull, and a HEAD as nothing."""
    upstream.add_image(NAME, "1", [b"layer"])
    for _ in range(5):
        assert (await proxy.ask(_tag("1"))).status == 200
    assert (upstream.count("GET", "manifests"), upstream.count("HEAD", "manifests")) == (1, 4)


async def test_a_tag_that_moved_is_followed(upstream: FakeRegistry, proxy: Rig) -> None:
    upstream.add_image(NAME, "1", [b"old"])
    old = await proxy.ask(_tag("1"))
    upstream.add_image(NAME, "1", [b"new"])
    new = await proxy.ask(_tag("1"))
    assert new.headers["Docker-Content-Digest"] != old.headers["Docker-Content-Digest"]


async def test_a_fresh_tag_is_not_asked_about(upstream: FakeRegistry, tmp_path: Path) -> None:
    upstream.add_image(NAME, "1", [b"layer"])
    async with rig(tmp_path / "store", {"docker.io": upstream.url}) as proxy:
        for _ in range(3):
            assert (await proxy.ask(_tag("1"))).status == 200
    assert len(upstream.ledger) == 1


async def test_concurrent_askers_share_one_question(upstream: FakeRegistry, proxy: Rig) -> None:
    upstream.add_image(NAME, "1", [b"layer"])
    gate = Hold()
    upstream.misbehave("/manifests/", gate)
    asking = [asyncio.create_task(proxy.ask(_tag("1"))) for _ in range(50)]
    await gate.reached.wait()
    gate.event.set()
    assert {answer.status for answer in await asyncio.gather(*asking)} == {200}
    assert upstream.count("GET", "manifests") == 1
