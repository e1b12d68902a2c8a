"""What operators are told of the fleet, by all processes of one member."""

import asyncio
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.behind_kit import replica
from tests.fakes.bucket import FakeBucket
from tests.fakes.fleet import KEY, fleet
from tests.fakes.program import Program
from tests.fakes.registry import FakeRegistry
from tests.free_port import free_port
from tests.rig import LOOPBACK, PATIENT, Rig, rig

MIB = 1024 * 1024
NAME = "library/app"


async def test_n17_10_without_a_fleet_the_answer_says_so(proxy: Rig) -> None:
    assert await proxy.admin("fleet") == (200, {"fleet": None, "object_store": None})


@pytest.mark.parametrize("limit", ["0", "-1", "20001", "many", "\u0663", "9" * 5000, ""])
async def test_n17_10_a_limit_that_is_none_is_refused(proxy: Rig, limit: str) -> None:
    status, document = await proxy.admin(f"fleet?limit={limit}")
    assert (status, "limit" in document["error"]) == (400, True)


async def test_n17_10_whoever_may_read_may_see_who_is_in_the_fleet(tmp_path: Path, upstream: FakeRegistry) -> None:
    token = "canary-0123456789abcdef"
    async with rig(tmp_path / "store", {"docker.io": upstream.url}, admin_tokens={"grafana": {"token": token}}) as proxy:
        url, elsewhere = f"http://{LOOPBACK}:{proxy.admin_port}/api/v1/fleet", {"X-Forwarded-For": "192.0.2.1"}
        for shown, expected in (({}, 401), ({"Authorization": f"Bearer {token}"}, 200)):
            async with proxy.session.get(url, headers={**elsewhere, **shown}) as response:
                assert response.status == expected


async def test_n17_10_members_are_told_with_what_went_between_them(tmp_path: Path) -> None:
    blob = os.urandom(4 * MIB)
    dead = f"http://{LOOPBACK}:{free_port()}"
    async with FakeRegistry() as upstream, fleet(tmp_path, {"docker.io": upstream.url}, 2, more=[dead]) as rigs:
        path = f"/v2/{NAME}/blobs/{upstream.add_blob(NAME, blob)}"
        assert [(await each.ask(path)).body == blob for each in rigs] == [True, True]
        ours, theirs = (f"http://{LOOPBACK}:{each.port}" for each in rigs)
        found = await _found(rigs[0], {"healthy": 2, "unknown": 0, "suspected": 0, "unreachable": 1})
        assert (found["us"], found["peers"], found["trouble"]) == (ours, [ours, theirs, dead], None)
        members = {each["address"]: each for each in found["members"]}
        assert (members[ours]["is_us"], members[ours]["health"], members[theirs]["health"]) == (True, "healthy", "healthy")
        assert (members[dead]["health"], members[dead]["reason"]) == ("unreachable", "cannot be asked: Connection refused")
        seen = (await rigs[1].admin("fleet"))[1]["fleet"]["members"]
        of_us = next(each for each in seen if each["address"] == ours)
        of_them = members[theirs]
        assert of_us["received_bytes"] + of_them["received_bytes"] >= len(blob), "each piece goes one way or the other"
        assert of_us["sent_bytes"] >= of_them["received_bytes"], "what is late is left"
        assert of_them["sent_bytes"] >= of_us["received_bytes"]
        assert "regproxy_fleet_unreachable 1.0" in await rigs[0].metrics()
        _, limited = await rigs[0].admin("fleet?limit=2")
        assert [each["address"] for each in limited["fleet"]["members"]] == [ours, dead]


async def test_n17_10_two_workers_are_answered_for_as_one(tmp_path: Path) -> None:
    """Whichever of them brought a piece, or was refused one by a member that is gone."""
    blob = os.urandom(6 * MIB)
    async with FakeRegistry() as upstream:
        path = f"/v2/{NAME}/blobs/{upstream.add_blob(NAME, blob)}"
        programs = []
        for number in range(2):
            (tmp_path / str(number)).mkdir()
            programs.append(Program(tmp_path / str(number), {"docker.io": {"hosts": [{"url": upstream.url}]}}, timeouts=PATIENT, workers=2))
        peers = [f"http://{LOOPBACK}:{each.port}" for each in programs]
        for each in programs:
            each.settings["fleet"] = {"peers": peers, "key": KEY, "timeout": "30s"}
        async with programs[0].running(), programs[1].running():
            asked = [each.ask(path) for each in programs for _ in range(4)]
            assert [answer == (200, blob) for answer in await asyncio.gather(*asked)] == [True] * 8

            async def agreed() -> bool:
                (_, there), (__, back) = [(await _member(program, url)) for program, url in zip(programs, peers[::-1], strict=True)]
                received = there["received_bytes"], back["received_bytes"]
                return bool(sum(received) >= len(blob) and back["sent_bytes"] >= received[0] and there["sent_bytes"] >= received[1])

            await programs[0].until(agreed)
            programs[1].tell(signal.SIGKILL)

            async def gone() -> bool:
                return bool((await _member(programs[0], peers[1]))[1]["health"] == "unreachable")

            await programs[0].until(gone)
            said = [each["message"] for each in programs[0].lines() if "the fleet" in each["message"]]
            assert said.count("members joined the fleet") == 1, "once for all processes"
            lost, found = said.count("cannot reach a member of the fleet"), said.count("a member of the fleet is reached again")
            assert lost == found + 1, "it may have been asked before it was there"
            assert not [each for each in programs[0].lines() if "/fleet/v1/ping" in each["message"]], "a line a second says nothing"


async def test_n17_10_what_waits_for_the_object_store_is_told_beside_it(tmp_path: Path) -> None:
    async with FakeBucket() as bucket, replica(tmp_path / "store", "http://127.0.0.1:1", bucket) as running:
        _, found = await running.admin("fleet")
        waits = {"pending": 0, "pending_bytes": 0, "trouble": None}
        assert found == {"fleet": None, "object_store": {"place": "s3://bucket/regproxy", **waits}}


async def _member(program: Program, url: str) -> tuple[int, dict[str, Any]]:
    status, text = await program.admin("/api/v1/fleet")
    members = json.loads(text)["fleet"]["members"]
    return status, next(each for each in members if each["address"] == url)


async def _found(running: Rig, counts: dict[str, int]) -> dict[str, Any]:
    """Wait until all were asked, those too that were not there before."""
    async with asyncio.timeout(300):
        while True:
            _, document = await running.admin("fleet")
            found: dict[str, Any] = document["fleet"]
            if found["counts"] == counts:
                return found
            await asyncio.sleep(0.05)
