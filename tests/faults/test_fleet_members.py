"""Several replicas fetch each blob once, whoever of them is asked, and whatever happens to the others.

What upstream sends more than once is said in docs/operations.md, and bounded here.
"""

import asyncio
import os
import signal
import ssl
import time
from pathlib import Path

import pytest

from regproxy.oci.digest import Digest
from regproxy.oci.reference import Repository
from regproxy.peers.keys import ANSWER, FleetKeys
from regproxy.peers.names import Blob, target_of
from regproxy.peers.reply import FAILED, OUTCOME, PENDING
from regproxy.policy.fleet.ring import Ring, start
from tests.fakes.authority import Authority
from tests.fakes.deeds import Lie, NoRanges, Paced, Status
from tests.fakes.entry import on
from tests.fakes.fleet import KEY, fleet
from tests.fakes.listener import Listener
from tests.fakes.member import Asked, Member
from tests.fakes.program import Program
from tests.fakes.registry import FakeRegistry
from tests.free_port import free_port
from tests.rig import LOOPBACK, PATIENT, Rig

NAME = "library/app"
MIB = 1024 * 1024


def path_to(digest: Digest) -> str:
    return f"/v2/{NAME}/blobs/{digest}"


async def pulled(rigs: list[Rig], digest: Digest, blob: bytes) -> None:
    """Ask all of *rigs* at once, and look at every byte."""
    answers = await asyncio.gather(*(each.ask(path_to(digest)) for each in rigs))
    assert [(each.status, each.is_whole, each.body == blob) for each in answers] == [(200, True, True)] * len(rigs)
    await asyncio.gather(*(each.settled() for each in rigs))


class Silent(Listener):
    """A member that is stopped: it is connected to, and says nothing."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        del writer
        await reader.read()


def _root(members: list[str], blob: bytes) -> str:
    """Name the member that asks upstream for *blob*."""
    return Ring(members, members[0]).at(start(str(Digest.of(blob)), 0), 0)


@pytest.mark.parametrize("begins", [False, True])
async def test_n17_03_a_member_that_is_stopped_in_the_middle_is_left(tmp_path: Path, begins: bool) -> None:
    """What it sent before is wrong here, as a member's is that nobody has verified; the client gets none of it."""
    quick = {0: {"timeout": "1s"}}

    def answered(asked: Asked) -> bytes:
        return asked.bytes_of(bytes(MIB))[: 1 - MIB] if begins else asked.head(PENDING, 200, "", "Transfer-Encoding: chunked")

    async with (
        Member(answered, lives=False) as stuck,
        FakeRegistry() as upstream,
        fleet(tmp_path, {"docker.io": upstream.url}, 1, more=[stuck.url], own=quick) as rigs,
    ):
        members = [stuck.url, f"http://{LOOPBACK}:{rigs[0].port}"]
        blob = next(body for body in iter(lambda: os.urandom(MIB), b"") if _root(members, body) == stuck.url)
        await pulled(rigs, upstream.add_blob(NAME, blob), blob)
        assert stuck.connections
        assert upstream.sent_blob_bytes() <= 2 * len(blob)


async def test_n17_02_a_cold_blob_is_fetched_once_for_all_members_and_then_kept_by_each(tmp_path: Path) -> None:
    blob, small = os.urandom(5 * MIB + 12345), os.urandom(1000)
    async with FakeRegistry() as upstream, fleet(tmp_path, {"docker.io": upstream.url}) as rigs:
        digests = upstream.add_blob(NAME, blob), upstream.add_blob(NAME, small)
        await asyncio.gather(pulled(rigs, digests[0], blob), pulled(rigs, digests[1], small))
        assert upstream.sent_blob_bytes() == len(blob) + len(small)
        upstream.misbehave(on("GET", "/blobs/"), Status(500))
        await pulled(rigs, digests[0], blob)


async def test_n17_02_a_member_that_comes_late_gets_what_others_have_kept(tmp_path: Path) -> None:
    blob = os.urandom(3 * MIB)
    async with FakeRegistry() as upstream, fleet(tmp_path, {"docker.io": upstream.url}, 4) as rigs:
        digest = upstream.add_blob(NAME, blob)
        await pulled(rigs[:3], digest, blob)
        await pulled(rigs[3:], digest, blob)
        assert upstream.sent_blob_bytes() == len(blob)


async def test_n17_02_a_part_that_a_client_asks_for_comes_from_the_same_pieces(tmp_path: Path) -> None:
    blob = os.urandom(6 * MIB)
    async with FakeRegistry() as upstream, fleet(tmp_path, {"docker.io": upstream.url}) as rigs:
        digest = upstream.add_blob(NAME, blob)
        asked = [(each, f"bytes={start}-{start + 999}") for each in rigs for start in (0, 2 * MIB - 500, 5 * MIB)]
        answers = await asyncio.gather(*(each.ask(path_to(digest), Range=wanted) for each, wanted in asked))
        for answer, (_, wanted) in zip(answers, asked, strict=True):
            start = int(wanted.removeprefix("bytes=").partition("-")[0])
            assert (answer.status, answer.body) == (206, blob[start : start + 1000])
        await asyncio.gather(*(each.settled() for each in rigs))
        assert upstream.sent_blob_bytes() == len(blob)


async def test_n17_02_a_part_behind_the_end_is_no_sign_that_upstream_is_not_reached(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    blob = os.urandom(3 * MIB)
    async with FakeRegistry() as upstream, fleet(tmp_path, {"docker.io": upstream.url}, downloads={"uncached_ranges": "pass"}) as rigs:
        digest = upstream.add_blob(NAME, blob)
        answers = await asyncio.gather(*(each.ask(path_to(digest), Range=f"bytes={10**17}-{10**17}") for each in rigs))
        assert {each.status for each in answers} == {416}
        await pulled(rigs, digest, blob)
        assert upstream.sent_blob_bytes() == len(blob), "all members bring it together"
        assert not [each.message for each in caplog.records if "not reached" in each.message]


async def test_n17_02_what_upstream_refuses_travels_down_as_its_answer(tmp_path: Path) -> None:
    async with FakeRegistry() as upstream, fleet(tmp_path, {"docker.io": upstream.url}) as rigs:
        missing = Digest.of(b"nowhere")
        upstream.add_blob(NAME, b"something else")
        answers = await asyncio.gather(*(each.ask(path_to(missing)) for each in rigs))
        assert [(each.status, b"BLOB_UNKNOWN" in each.body) for each in answers] == [(404, True)] * 3
        busy = upstream.add_blob(NAME, b"so much asked for")
        upstream.misbehave(on("GET", str(busy)), Status(429, {"Retry-After": "1"}))
        answers = await asyncio.gather(*(each.ask(path_to(busy)) for each in rigs))
        assert {each.status for each in answers} == {503}
        assert all("Retry-After" in each.headers for each in answers)


@pytest.mark.parametrize("count", [1, 2, 3])
async def test_n17_02_what_upstream_refused_for_a_moment_is_forgotten_however_often_it_is_asked_for(tmp_path: Path, count: int) -> None:
    """Members that tell each other what they were told would keep it alive for as long as clients try again."""

    async def until_it_comes(rig: Rig) -> None:
        while (await rig.ask(path_to(digest))).status != 200:
            pass

    async with FakeRegistry() as upstream, fleet(tmp_path, {"docker.io": upstream.url}, count, more=["http://127.0.0.1:9"]) as rigs:
        digest = upstream.add_blob(NAME, os.urandom(10_000))
        upstream.misbehave(on("GET", str(digest)), Status(502))
        assert {each.status for each in await asyncio.gather(*(each.ask(path_to(digest)) for each in rigs))} == {502}
        upstream.behave()
        async with asyncio.timeout(100):
            await asyncio.gather(*(until_it_comes(each) for each in rigs for _ in range(3)))


async def test_n17_02_where_upstream_sends_no_parts_each_member_fetches_the_whole(tmp_path: Path) -> None:
    blob = os.urandom(3 * MIB)
    async with FakeRegistry() as upstream, fleet(tmp_path, {"docker.io": upstream.url}) as rigs:
        digest = upstream.add_blob(NAME, blob)
        upstream.misbehave(on("GET", str(digest)), NoRanges())
        await pulled(rigs, digest, blob)


async def test_n17_03_with_members_dead_the_others_fetch_each_blob_once(tmp_path: Path) -> None:
    blob = os.urandom(5 * MIB)
    dead = [f"http://{LOOPBACK}:{free_port()}" for _ in range(3)]
    async with FakeRegistry() as upstream, fleet(tmp_path, {"docker.io": upstream.url}, more=dead) as rigs:
        digest = upstream.add_blob(NAME, blob)
        await pulled(rigs, digest, blob)
        assert upstream.sent_blob_bytes() == len(blob)


async def test_n17_03_a_member_that_says_nothing_is_left_alone(tmp_path: Path) -> None:
    """What is late on a slow machine may be a member that is well: then upstream is asked again, but by each member once at most."""
    blob = os.urandom(5 * MIB)
    quick = {number: {"timeout": "1s"} for number in range(3)}
    async with FakeRegistry() as upstream, Silent() as silent:
        async with fleet(tmp_path, {"docker.io": upstream.url}, more=[silent.url], own=quick) as rigs:
            digest = upstream.add_blob(NAME, blob)
            await pulled(rigs, digest, blob)
            assert upstream.sent_blob_bytes() <= 3 * len(blob)
        assert silent.connections


async def test_n17_03_a_member_with_another_key_is_none(tmp_path: Path) -> None:
    blob = os.urandom(5 * MIB)
    stranger = {2: {"key": "another-0123456789abcdef0123456789abcdef"}}
    async with FakeRegistry() as upstream, fleet(tmp_path, {"docker.io": upstream.url}, own=stranger) as rigs:
        digest = upstream.add_blob(NAME, blob)
        await pulled(rigs, digest, blob)
        assert upstream.sent_blob_bytes() <= 2 * len(blob)


async def test_n17_03_while_the_key_is_rotated_all_are_members(tmp_path: Path) -> None:
    blob = os.urandom(3 * MIB)
    new = "canary-newer-0123456789abcdef0123456789abcdef"
    rotated = {1: {"key": f"{KEY},{new}"}, 2: {"key": f"{new},{KEY}"}, 0: {"key": f"{KEY},{new}"}}
    async with FakeRegistry() as upstream, fleet(tmp_path, {"docker.io": upstream.url}, own=rotated) as rigs:
        digest = upstream.add_blob(NAME, blob)
        await pulled(rigs, digest, blob)
        assert upstream.sent_blob_bytes() == len(blob)


async def test_n17_03_a_clock_that_is_wrong_by_an_hour_is_learnt(tmp_path: Path) -> None:
    blob = os.urandom(5 * MIB)
    clocks = {1: lambda: time.time() - 3600, 2: lambda: time.time() + 3600}
    async with FakeRegistry() as upstream, fleet(tmp_path, {"docker.io": upstream.url}, clocks=clocks) as rigs:
        digest = upstream.add_blob(NAME, blob)
        await pulled(rigs, digest, blob)
        assert upstream.sent_blob_bytes() == len(blob)


async def test_n17_03_two_views_of_the_membership_cost_a_second_fetch_at_most(tmp_path: Path) -> None:
    blob = os.urandom(5 * MIB)
    views = {0: (0, 1), 1: (0, 1, 2, 3), 2: (1, 2, 3), 3: (2, 3)}
    async with FakeRegistry() as upstream, fleet(tmp_path, {"docker.io": upstream.url}, 4, views=views) as rigs:
        digest = upstream.add_blob(NAME, blob)
        await pulled(rigs, digest, blob)
        assert upstream.sent_blob_bytes() <= 2 * len(blob)


async def test_n17_03_a_member_cut_off_from_upstream_is_served_by_the_others(tmp_path: Path) -> None:
    blob = os.urandom(5 * MIB)
    cut_off = {0: {"docker.io": f"http://{LOOPBACK}:{free_port()}"}}
    async with FakeRegistry() as upstream, fleet(tmp_path, {"docker.io": upstream.url}, upstreams_of=cut_off) as rigs:
        digest = upstream.add_blob(NAME, blob)
        await pulled(rigs[1:], digest, blob)
        assert upstream.sent_blob_bytes() <= 2 * len(blob)
        await pulled(rigs[:1], digest, blob)


async def test_n17_03_wrong_bytes_of_a_member_reach_no_client_and_are_traced_to_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """So it is for blobs that are held back until they are verified, as those of a mirror that has sent nothing right yet are."""
    async with (
        FakeRegistry() as upstream,
        FakeRegistry() as wrong,
        fleet(tmp_path, {"docker.io": upstream.url}, upstreams_of={2: {"docker.io": wrong.url}}) as rigs,
    ):
        members = [f"http://{LOOPBACK}:{each.port}" for each in rigs]
        liar = members[2]
        blob = next(body for body in iter(lambda: os.urandom(MIB // 2), b"") if _root(members, body) == liar)
        digest = upstream.add_blob(NAME, blob)
        wrong.add_blob(NAME, blob)
        wrong.misbehave(on("GET", str(digest)), Lie(bytes(len(blob))))
        await pulled(rigs[:2], digest, blob)
        assert upstream.sent_blob_bytes() <= 2 * len(blob), "once for each who was sent wrong bytes"
        async with asyncio.timeout(300):
            while not any("sent wrong bytes" in each.message and liar in str(vars(each)) for each in caplog.records):  # noqa: ASYNC110
                await asyncio.sleep(0.05)


@pytest.mark.parametrize("asks_clients", [False, True])
async def test_n17_02_members_speak_tls_where_clients_do_and_show_a_certificate_if_those_must(tmp_path: Path, asks_clients: bool) -> None:
    blob, authority = os.urandom(2 * MIB + 5), Authority(tmp_path)
    pair = authority.issue("member")
    tls = {"certificate": str(pair.certificate), "key": str(pair.key), **({"client_ca": str(authority.ca)} if asks_clients else {})}
    own = {number: {"ca": str(authority.ca)} for number in range(3)}
    async with FakeRegistry() as upstream, fleet(tmp_path, {"docker.io": upstream.url}, own=own, tls=tls) as rigs:
        digest = upstream.add_blob(NAME, blob)
        for each in rigs:
            each.tls = ssl.create_default_context(cafile=authority.ca)
            each.tls.load_cert_chain(pair.certificate, pair.key)
        await pulled(rigs, digest, blob)
        assert upstream.sent_blob_bytes() == len(blob)


async def test_n17_03_nobody_without_the_key_gets_a_piece(tmp_path: Path) -> None:
    async with FakeRegistry() as upstream, fleet(tmp_path, {"docker.io": upstream.url}, 2) as rigs:
        digest = upstream.add_blob(NAME, b"private")
        target = f"/fleet/v1/pieces?ns=docker.io&name={NAME}&digest={digest}&final=1"
        for field in ({}, {"Regproxy_Fleet": "1 1 1 1"}, {"Regproxy_Fleet": "nonsense"}):
            answer = await rigs[0].ask(target, Range="bytes=0-6", **field)
            assert answer.status == 401
            assert b"private" not in answer.body
        assert (await rigs[0].ask("/fleet/v1/ping")).status == 401
        assert upstream.count("GET", "blobs") == 0


async def test_n17_02_a_request_of_a_member_counts_once(tmp_path: Path) -> None:
    async with FakeRegistry() as upstream:
        digest = upstream.add_blob(NAME, b"of a tenant")
        async with fleet(tmp_path, {"docker.io": upstream.url}, 2) as rigs:
            found = []
            for name in ("docker.io", "unknown.test"):
                target = target_of(Blob(Repository(name, NAME), digest), is_final=True)
                field, sealed = FleetKeys(KEY, time.time).signed("GET", f"{LOOPBACK}:{rigs[0].port}", target, "bytes=0-10")
                answer = await rigs[0].ask(target, Range="bytes=0-10", Regproxy_Fleet=field)
                sealed.check(answer.headers[ANSWER], str(answer.status), answer.headers[OUTCOME], answer.headers.get("Content-Range", ""))
                found.append((answer.headers[OUTCOME], b"of a tenant" in answer.body))
                assert (await rigs[0].ask(target, Range="bytes=0-10", Regproxy_Fleet=field)).status == 401, "a request counts once"
            assert found == [(PENDING, True), (FAILED, False)]


async def test_n17_03_real_replicas_with_several_workers_fetch_once_and_one_that_is_killed_costs_little(tmp_path: Path) -> None:
    blob, other = os.urandom(4 * MIB), os.urandom(8 * MIB)
    async with FakeRegistry() as upstream:
        digest, second = upstream.add_blob(NAME, blob), upstream.add_blob(NAME, other)
        programs = []
        for number in range(2):
            (tmp_path / str(number)).mkdir()
            programs.append(Program(tmp_path / str(number), {"docker.io": {"hosts": [{"url": upstream.url}]}}, timeouts=PATIENT))
        peers = [f"http://{LOOPBACK}:{each.port}" for each in programs]
        for each in programs:
            each.settings["fleet"] = {"peers": peers, "key": KEY, "timeout": "30s"}
        async with programs[0].running(), programs[1].running():
            asked = [each.ask(path_to(digest)) for each in programs for _ in range(4)]
            assert [answer == (200, blob) for answer in await asyncio.gather(*asked)] == [True] * 8
            assert upstream.sent_blob_bytes() == len(blob)
            upstream.misbehave(on("GET", str(second)), Paced(MIB // 2))
            pulling = [asyncio.create_task(each.ask(path_to(second))) for each in programs[:1] for _ in range(4)]
            await programs[0].until(lambda: upstream.sent_blob_bytes() > len(blob) + 2 * MIB)
            victims = [*programs[1].workers()]
            programs[1].tell(signal.SIGKILL)
            assert victims
            assert [answer == (200, other) for answer in await asyncio.gather(*pulling)] == [True] * 4
            assert upstream.sent_blob_bytes() <= len(blob) + 2 * len(other)
