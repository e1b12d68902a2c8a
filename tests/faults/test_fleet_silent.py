"""A member that has the key, lives, accepts, and does not send: it holds a pull up for some seconds once, and is then left alone."""

import asyncio
import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from regproxy.peers.reply import BUSY, BYTES, PENDING
from regproxy.policy.fleet import pace, suspicion
from regproxy.policy.fleet.cut import cuts
from regproxy.policy.fleet.ring import Ring, start
from tests.fakes.deeds import Hold, Stall
from tests.fakes.entry import on
from tests.fakes.fleet import KEY, fleet
from tests.fakes.member import Asked, Member
from tests.fakes.program import Program
from tests.fakes.registry import FakeRegistry
from tests.rig import LOOPBACK, PATIENT, Rig

NAME = "library/app"
MIB = 1024 * 1024
QUICK = {number: {"timeout": "1s"} for number in range(2)}
SOON = 60.0  # seconds; some are enough where the machine is quick

Answered = Callable[[Asked, bytes], bytes]


def _unbegun(asked: Asked, _: bytes) -> bytes:
    return asked.head(PENDING, 200, "", "Transfer-Encoding: chunked")


def _headed(asked: Asked, blob: bytes) -> bytes:
    stop = min(asked.stop, len(blob))
    return asked.head(BYTES, 206, f"bytes {asked.start}-{stop - 1}/{len(blob)}", f"Content-Length: {stop - asked.start}")


def _half(asked: Asked, blob: bytes) -> bytes:
    stop = min(asked.stop, len(blob))
    return _headed(asked, blob) + blob[asked.start : (asked.start + stop) // 2]


def _blobs(member: str, others: list[Rig], size: int) -> Iterator[bytes]:
    """Make blobs of whose pieces *member* asks upstream for the first one, and for as many as may be."""
    ring = Ring([member, *(f"http://{LOOPBACK}:{each.port}" for each in others)], member)
    found, begun = [], hashlib.sha256(bytes(size - 16))
    for _ in range(500):
        end, hashed = os.urandom(16), begun.copy()
        hashed.update(end)
        roots = [ring.at(start(f"sha256:{hashed.hexdigest()}", each.number), 0) for each in cuts(size)]
        found.append((roots[0] == member, roots.count(member), end))
    yield from (bytes(size - 16) + end for *_, end in sorted(found)[::-1])


async def _pulled(rigs: list[Rig], upstream: FakeRegistry, blob: bytes) -> None:
    digest = upstream.add_blob(NAME, blob)
    async with asyncio.timeout(SOON):
        answers = await asyncio.gather(*(each.ask(f"/v2/{NAME}/blobs/{digest}") for each in rigs))
    assert [(each.status, each.is_whole, each.body == blob) for each in answers] == [(200, True, True)] * len(rigs)
    await asyncio.gather(*(each.settled() for each in rigs))


@pytest.mark.parametrize(("answered", "drips"), [(_unbegun, False), (_headed, False), (_headed, True), (_half, False), (_half, True)])
@pytest.mark.parametrize("good", [0, 1])
async def test_n17_03_a_member_that_lives_and_does_not_send_holds_pulls_up_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answered: Answered, drips: bool, good: int
) -> None:
    """It sends some pieces as it should, perhaps, and then nothing, or half of each, and perhaps a byte a second."""
    monkeypatch.setattr(suspicion, "SUSPECTED_FOR", 3600.0)
    blob = b""

    def answer(asked: Asked) -> bytes:
        return asked.bytes_of(blob) if len(stuck.asked) <= good else answered(asked, blob)

    async with (
        Member(answer, drips=drips) as stuck,
        FakeRegistry() as upstream,
        fleet(tmp_path, {"docker.io": upstream.url}, 2, more=[stuck.url], own=QUICK) as rigs,
    ):
        blobs = _blobs(stuck.url, rigs, 9 * MIB)
        blob = next(blobs)
        await _pulled(rigs, upstream, blob)
        assert len(stuck.asked) > good
        assert upstream.sent_blob_bytes() <= 2 * len(blob)
        asked = [0]
        while asked[-1] < len(stuck.asked):  # by the other one, which had what it asked it for from elsewhere before
            asked.append(len(stuck.asked))
            assert len(asked) < 5, "it is left alone"
            blob = next(blobs)
            await _pulled(rigs, upstream, blob)


async def test_n17_03_a_member_that_says_it_is_at_work_and_sends_a_little_again_and_again_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is asked for the rest each time; what it was waited for counts on."""
    monkeypatch.setattr(suspicion, "SUSPECTED_FOR", 3600.0)
    monkeypatch.setattr(pace, "_MAX_UNBEGUN", 3.0)
    blob = b""

    def answer(asked: Asked) -> bytes:
        stop = min(asked.stop, len(blob))
        said = json.dumps({"range": f"bytes {asked.start}-{stop - 1}/{len(blob)}"})
        before = b" " * 600 + json.dumps({"said": said, "mac": asked.sealed.mac(said)}).encode() + b"\n"
        head = asked.head(PENDING, 200, "", f"Content-Length: {len(before) + stop - asked.start}")
        return head + before + blob[asked.start : asked.start + 10]

    async with (
        Member(answer, rate=400.0) as slow,
        FakeRegistry() as upstream,
        fleet(tmp_path, {"docker.io": upstream.url}, 2, more=[slow.url], own=QUICK) as rigs,
    ):
        blob = next(_blobs(slow.url, rigs, 9 * MIB))
        await _pulled(rigs, upstream, blob)
        times = Counter(asked.stop for asked in slow.asked)
        assert times
        assert max(times.values()) <= 2 * 3, "for each of the two others"


async def test_n17_03_a_member_that_has_no_room_for_ever_holds_pulls_up_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked again and again, for ten seconds, and then at most once for each piece by each member."""
    monkeypatch.setattr(suspicion, "SUSPECTED_FOR", 3600.0)
    async with (
        Member(lambda asked: asked.head(BUSY, 503, "", "Content-Length: 0")) as full,
        FakeRegistry() as upstream,
        fleet(tmp_path, {"docker.io": upstream.url}, 2, more=[full.url], own=QUICK) as rigs,
    ):
        blobs = _blobs(full.url, rigs, 9 * MIB)
        times = []
        for _ in range(3):
            before = len(full.asked)
            await _pulled(rigs, upstream, next(blobs))
            times.append(len(full.asked) - before)
        assert times[0] > 0
        assert max(times[1:]) <= 2 * 9
        assert upstream.sent_blob_bytes() == 3 * 9 * MIB


@pytest.mark.parametrize("deed", [Hold(), Stall(MIB // 2)])
async def test_n17_02_while_upstream_is_silent_nobody_else_asks_it(tmp_path: Path, deed: Hold | Stall) -> None:
    """Those who wait for it say so, before its answer and in the middle of it: for longer than a member may be silent."""
    own = {number: {"timeout": "2s"} for number in range(4)}
    async with FakeRegistry() as upstream, fleet(tmp_path, {"docker.io": upstream.url}, 4, own=own) as rigs:
        blob = os.urandom(2 * MIB)
        digest = upstream.add_blob(NAME, blob)
        upstream.misbehave(on("GET", str(digest)), deed)
        pulling = asyncio.create_task(_pulled(rigs, upstream, blob))
        await deed.reached.wait()
        await asyncio.sleep(7.0)
        deed.event.set()
        await pulling
        assert upstream.sent_blob_bytes() == len(blob)


async def test_n17_02_while_upstream_is_silent_no_worker_of_another_member_asks_it(tmp_path: Path) -> None:
    """Whoever is asked may read along what another worker of the same machine brings."""
    async with FakeRegistry() as upstream:
        digest = upstream.add_blob(NAME, blob := os.urandom(2 * MIB))
        programs = []
        for number in range(2):
            (tmp_path / str(number)).mkdir()
            programs.append(Program(tmp_path / str(number), {"docker.io": {"hosts": [{"url": upstream.url}]}}, timeouts=PATIENT))
        for each in programs:
            peers = [f"http://{LOOPBACK}:{member.port}" for member in programs]
            each.settings["fleet"] = {"peers": peers, "key": KEY, "timeout": "5s"}
        upstream.misbehave(on("GET", str(digest)), hold := Hold())
        async with programs[0].running(), programs[1].running():
            asked = [asyncio.create_task(each.ask(f"/v2/{NAME}/blobs/{digest}")) for each in programs for _ in range(4)]
            await hold.reached.wait()
            await asyncio.sleep(10.0)
            hold.event.set()
            assert [answer == (200, blob) for answer in await asyncio.gather(*asked)] == [True] * 8
            assert upstream.sent_blob_bytes() == len(blob)
