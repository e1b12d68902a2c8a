"""Bad days of a fleet that each pull survives; what each costs upstream is said in docs/operations.md."""

import asyncio
import os
import signal
from contextlib import suppress
from pathlib import Path

import aiohttp

from regproxy.oci.digest import Digest
from regproxy.policy.fleet.ring import Ring, start
from tests.fakes.deeds import Paced
from tests.fakes.entry import on
from tests.fakes.fleet import KEY, fleet
from tests.fakes.member import Member
from tests.fakes.program import Program
from tests.fakes.registry import FakeRegistry
from tests.free_port import free_port
from tests.rig import LOOPBACK, PATIENT, Rig

NAME = "library/app"
MIB = 1024 * 1024


async def _pulled(rigs: list[Rig], upstream: FakeRegistry, blob: bytes) -> None:
    path = f"/v2/{NAME}/blobs/{upstream.add_blob(NAME, blob)}"
    answers = await asyncio.gather(*(each.ask(path) for each in rigs))
    assert [(each.status, each.is_whole, each.body == blob) for each in answers] == [(200, True, True)] * len(rigs)
    await asyncio.gather(*(each.settled() for each in rigs))


async def test_n17_03_a_member_that_reaches_upstream_and_no_other_member_costs_one_more_fetch(tmp_path: Path) -> None:
    blob, views = os.urandom(6 * MIB), {0: (0, 1), 1: (0, 1), 2: (2,)}
    away = [f"http://{LOOPBACK}:{free_port()}" for _ in range(2)]
    async with FakeRegistry() as upstream, fleet(tmp_path, {"docker.io": upstream.url}, views=views, more=away) as rigs:
        await _pulled(rigs, upstream, blob)
        assert upstream.sent_blob_bytes() == 2 * len(blob)


async def test_n17_03_a_stranger_among_the_members_costs_nothing(tmp_path: Path) -> None:
    """The name of the members stands for something else that speaks HTTP, too."""
    blob = os.urandom(6 * MIB)
    async with FakeRegistry() as stranger, FakeRegistry() as upstream:
        async with fleet(tmp_path, {"docker.io": upstream.url}, more=[stranger.url]) as rigs:
            await _pulled(rigs, upstream, blob)
        assert upstream.sent_blob_bytes() == len(blob)


async def test_n17_03_a_member_that_sends_a_megabyte_a_second_is_waited_for_or_left(tmp_path: Path) -> None:
    blob = b""
    async with (
        Member(lambda asked: asked.bytes_of(blob), rate=1_000_000) as slow,
        FakeRegistry() as upstream,
        fleet(tmp_path, {"docker.io": upstream.url}, 2, more=[slow.url]) as rigs,
    ):
        members = [slow.url, *(f"http://{LOOPBACK}:{each.port}" for each in rigs)]
        while Ring(members, slow.url).at(start(str(Digest.of(blob)), 0), 0) != slow.url:
            blob = os.urandom(4 * MIB)
        await _pulled(rigs, upstream, blob)
        assert slow.asked
        assert upstream.sent_blob_bytes() <= 2 * len(blob)


async def test_n17_03_a_real_member_that_is_stopped_in_the_middle_costs_its_pieces_once_more(tmp_path: Path) -> None:
    blob = os.urandom(8 * MIB)
    async with FakeRegistry() as upstream:
        digest = upstream.add_blob(NAME, blob)
        programs = []
        for number in range(3):
            (tmp_path / str(number)).mkdir()
            programs.append(Program(tmp_path / str(number), {"docker.io": {"hosts": [{"url": upstream.url}]}}, timeouts=PATIENT))
        peers = [f"http://{LOOPBACK}:{each.port}" for each in programs]
        for each in programs:
            each.settings["fleet"] = {"peers": peers, "key": KEY, "timeout": "5s"}
        upstream.misbehave(on("GET", str(digest)), Paced(MIB))
        async with programs[0].running(), programs[1].running(), programs[2].running():
            pulling = [asyncio.create_task(each.ask(f"/v2/{NAME}/blobs/{digest}")) for each in programs[:2] for _ in range(2)]
            await programs[0].until(lambda: upstream.sent_blob_bytes() > 2 * MIB)
            assert programs[2].process is not None
            stopped = [programs[2].process.pid, *programs[2].workers()]
            for process in stopped:
                os.kill(process, signal.SIGSTOP)
            assert [answer == (200, blob) for answer in await asyncio.gather(*pulling)] == [True] * 4
            assert upstream.sent_blob_bytes() <= 2 * len(blob)
            for process in reversed(stopped):
                os.kill(process, signal.SIGCONT)
            answered: list[tuple[int, bytes]] = []

            async def is_back() -> bool:
                with suppress(aiohttp.ClientError):
                    answered.append(await programs[2].ask(f"/v2/{NAME}/blobs/{digest}"))
                return bool(answered)

            await programs[2].until(is_back)
            assert answered == [(200, blob)]
