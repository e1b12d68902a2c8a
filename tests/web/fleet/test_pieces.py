"""What is answered at the port to those who claim to be members, and what to those who are, and want too much."""

import asyncio
import io
import json
import logging
import os
import time
from pathlib import Path

import pytest

from regproxy.oci.reference import Repository
from regproxy.peers.keys import ANSWER, FleetKeys
from regproxy.peers.names import PIECES, PING, Blob, target_of
from regproxy.peers.reply import FAILED, MISDIRECTED, OUTCOME
from regproxy.telemetry import metrics
from tests.fakes.deeds import Paced, Status
from tests.fakes.entry import on
from tests.fakes.fleet import KEY, fleet
from tests.fakes.registry import FakeRegistry
from tests.rig import LOOPBACK, Answer, Rig

NAME = "library/app"
MIB = 1024 * 1024


async def sent(rig: Rig, target: str, range_: str = "bytes=0-9") -> Answer:
    """Send what a member with the key may send."""
    field, _ = FleetKeys(KEY, time.time).signed("GET", f"{LOOPBACK}:{rig.port}", target, range_)
    return await rig.ask(target, Range=range_, Regproxy_Fleet=field)


async def asked(rig: Rig, target: str, range_: str = "bytes=0-1048575", host: str | None = None) -> Answer:
    """Ask as a member does; *host* is whom the request was made for, if not *rig*."""
    host = host or f"{LOOPBACK}:{rig.port}"
    field, sealed = FleetKeys(KEY, time.time).signed("GET", host, target, range_)
    answer = await rig.ask(target, Host=host, Range=range_, Regproxy_Fleet=field)
    sealed.check(answer.headers[ANSWER], str(answer.status), answer.headers[OUTCOME], answer.headers.get("Content-Range", ""))
    return answer


def access_lines(lines: io.StringIO) -> list[dict[str, object]]:
    for handler in logging.getLogger().handlers:
        handler.flush()
    return [record for line in lines.getvalue().splitlines() if (record := json.loads(line))["logger"] == "regproxy.access"]


async def test_n17_20_what_another_member_was_asked_is_not_answered(tmp_path: Path) -> None:
    """Who has the address of a member that is gone is asked in its place, and may show us what it was asked."""
    async with FakeRegistry() as upstream, fleet(tmp_path, {"docker.io": upstream.url}, 2) as rigs:
        digest = upstream.add_blob(NAME, b"private")
        for target in (target_of(Blob(Repository("docker.io", NAME), digest), is_final=True), PING):
            for host in (f"{LOOPBACK}:{rigs[1].port}", f"localhost:{rigs[0].port}", "192.0.2.1:5000"):
                answer = await asked(rigs[0], target, host=host)
                assert (answer.status, answer.headers[OUTCOME]) == (421, MISDIRECTED)
                assert b"private" not in answer.body
        assert upstream.count("GET", "blobs") == 0


async def test_n17_03_a_member_by_two_names_waits_neither_for_itself_nor_in_a_circle(tmp_path: Path) -> None:
    blob = os.urandom(3 * MIB)
    async with FakeRegistry() as upstream, fleet(tmp_path, {"docker.io": upstream.url}, second_name="localhost") as rigs:
        digest = upstream.add_blob(NAME, blob)
        async with asyncio.timeout(100):  # less than members wait for one that lives
            answers = await asyncio.gather(*(each.ask(f"/v2/{NAME}/blobs/{digest}") for each in rigs))
        assert [(each.status, each.body == blob) for each in answers] == [(200, True)] * 3
        await asyncio.gather(*(each.settled() for each in rigs))


async def test_n17_20_parts_that_no_member_asks_for_are_refused(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    blob = os.urandom(MIB + MIB // 2)
    async with FakeRegistry() as upstream, fleet(tmp_path, {"docker.io": upstream.url}, 1, more=["http://127.0.0.1:1"]) as (rig,):
        digest = upstream.add_blob(NAME, blob)
        upstream.misbehave(on("GET", str(digest)), Paced(1000))
        target = target_of(Blob(Repository("docker.io", NAME), digest), is_final=True)
        coming = asyncio.create_task(asked(rig, target, f"bytes={MIB}-{2 * MIB - 1}"))
        members = rig.proxy.handlers.members
        assert members is not None
        async with asyncio.timeout(100):
            while not any(each.written for each in members.exchange._pieces.values()):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        behind = await asked(rig, target, f"bytes={MIB + MIB // 2}-{2 * MIB - 1}")
        assert (behind.status, behind.headers[OUTCOME]) == (503, FAILED), "the blob ends there"
        across = await asked(rig, target, f"bytes={MIB - 1}-{MIB + 1}")
        assert (across.status, across.headers[OUTCOME]) == (503, FAILED)
        for range_ in ("bytes=5-", "bytes=-5", "bytes=0-1,5-6", "bytes=6-5", f"bytes=0-{'9' * 30}", "x=0-1"):
            assert (await sent(rig, target, range_)).status == 404, range_
        for wrong in (target.replace("sha256", "sha257"), target.replace("library", ".."), target.replace("final", "finale"), PIECES):
            assert (await sent(rig, wrong)).status == 404, wrong
        for path in ("/fleet/v1/", "/fleet/v1/nothing", "/fleet/v1/pieces/..", "/fleet/v1/ping/x"):
            assert (await sent(rig, target.replace(PIECES, path))).status == 404, path
        coming.cancel()
    assert not [each.message for each in caplog.records if each.message == "this is a bug"]


async def test_n17_10_pieces_for_members_are_counted_and_no_lines_of_the_access_log(
    tmp_path: Path, lines: io.StringIO, caplog: pytest.LogCaptureFixture
) -> None:
    """But what is wrong with a request is, and each pull of a client."""
    caplog.set_level(logging.INFO, "regproxy.access")
    counter = metrics.REQUESTS.labels("fleet", "", "ok")._value
    before = counter.get()
    async with FakeRegistry() as upstream, fleet(tmp_path, {"docker.io": upstream.url}, 3) as rigs:
        digest = upstream.add_blob(NAME, os.urandom(8 * MIB))
        for each in rigs:
            assert (await each.ask(f"/v2/{NAME}/blobs/{digest}")).status == 200
            await each.settled()
        assert counter.get() - before >= 8
        target = target_of(Blob(Repository("docker.io", NAME), digest), is_final=True)
        assert (await sent(rigs[0], target, "bytes=5-")).status == 404
        assert (await asked(rigs[0], target, "bytes=0-99999999")).headers[OUTCOME] == FAILED
    told = [(each["endpoint"], each["outcome"]) for each in access_lines(lines)]
    assert sorted(told) == [("blobs", "miss")] * 3 + [("fleet", "unknown")]


async def test_n17_10_what_is_refused_is_told_once_with_the_reason_however_often_it_is_asked(
    tmp_path: Path, lines: io.StringIO, caplog: pytest.LogCaptureFixture
) -> None:
    """Who has another key asks every second for as long as it has that."""
    caplog.set_level(logging.INFO, "regproxy.access")
    counter = metrics.FLEET_REQUESTS.labels("refused")._value
    before = counter.get()
    async with FakeRegistry() as upstream, fleet(tmp_path, {"docker.io": upstream.url}, 1, more=["http://127.0.0.1:1"]) as (rig,):
        own = f"{LOOPBACK}:{rig.port}"
        for _ in range(5):
            field, _ = FleetKeys("another-0123456789abcdef0123456789abcdef", time.time).signed("GET", own, PING, "")
            assert (await rig.ask(PING, Regproxy_Fleet=field)).status == 401
            assert (await rig.ask("/fleet/v1/nothing")).status == 401
            assert (await asked(rig, PING, host="localhost:1")).status == 421
    assert counter.get() - before == 15
    told = [vars(each)["fields"] for each in caplog.records if each.message == "refused a request to the fleet"]
    assert told == [
        {"client": LOOPBACK, "host": own, "reason": "it is not made with our fleet.key", "requests": 1},
        {"client": LOOPBACK, "host": own, "reason": "it is not a request of a member", "requests": 1},
        {"client": LOOPBACK, "host": "localhost:1", "reason": f"it is made for another member than {own}", "requests": 1},
    ]
    assert access_lines(lines) == []


async def test_n17_20_no_member_gets_what_clients_may_not_have(tmp_path: Path) -> None:
    """What is denied, what upstream has closed to us since we have it, and neither by another name of the upstream."""
    async with FakeRegistry() as upstream:
        settings = {"hosts": [{"url": upstream.url}], "aliases": ["alias.test"], "deny": ["library/denied"]}
        async with fleet(tmp_path, {"docker.io": settings}, 1, more=["http://127.0.0.1:1"]) as (rig,):
            blob = b"not for everybody" * 100
            digests = {name: upstream.add_blob(name, blob) for name in ("library/denied", "library/closed", "library/open")}
            upstream.add_image("library/closed", "1", [b"layer"])
            for name in ("library/closed", "library/open"):
                await rig.ask(f"/v2/{name}/blobs/{digests[name]}")
            await rig.settled()
            upstream.misbehave(on("GET", "library/closed"), Status(403))
            upstream.misbehave(on("HEAD", "library/closed"), Status(403))
            assert (await rig.ask("/v2/library/closed/manifests/1")).status == 403
            before = upstream.sent_blob_bytes()
            found = {}
            for ns in ("docker.io", "alias.test", "index.docker.io", "DOCKER.IO", "unknown.test"):
                for name, digest in digests.items():
                    answer = await asked(rig, target_of(Blob(Repository(ns, name), digest), is_final=True))
                    found[ns, name] = blob in answer.body
            assert [each for each, was_sent in found.items() if was_sent] == [("docker.io", "library/open")]
            assert upstream.sent_blob_bytes() == before
