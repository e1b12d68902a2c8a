"""Pieces that come from members who are none of ours at heart: they have the key, and send what no member sends."""

import asyncio
import json
import os
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

from regproxy.oci.digest import Digest
from regproxy.oci.reference import Repository
from regproxy.peers.names import Blob, PieceName
from regproxy.peers.pieces.cache import Hold, PieceCache
from regproxy.policy.fleet.cut import piece_at
from regproxy.policy.fleet.ring import Ring, start
from tests.fakes.fleet import fleet
from tests.fakes.member import Asked, Member
from tests.fakes.registry import FakeRegistry
from tests.rig import LOOPBACK, Answer, Rig

NAME = "library/app"
MIB = 1024 * 1024


def rooted_at(member: str, rigs: list[Rig], size: int) -> bytes:
    """Make a blob whose first piece *member* asks upstream for."""
    members = [member, *(f"http://{LOOPBACK}:{each.port}" for each in rigs)]
    for _ in range(10_000):
        blob = os.urandom(16) + bytes(size - 16)
        if Ring(members, member).at(start(str(Digest.of(blob)), 0), 0) == member:
            return blob
    raise AssertionError


async def pull(rig: Rig, digest: Digest) -> Answer:
    async with asyncio.timeout(100):  # less than a member that lives is waited for
        return await rig.ask(f"/v2/{NAME}/blobs/{digest}")


@pytest.mark.parametrize(
    "answered",
    [
        lambda asked: asked.says(json.dumps({"range": 5})),
        lambda asked: asked.says("[" * 15_000),
        lambda asked: asked.says(json.dumps({"range": "bytes 0-1/1"})),
        lambda asked: asked.says(json.dumps({"failed": {"a": [1]}})),
        lambda asked: asked.says(json.dumps({"error": {"kind": "Throttled", "message": "x", "details": {"retry_after": -1e300}}})),
        lambda asked: asked.bytes_of(b"x" * MIB, 10**17),
        lambda asked: asked.bytes_of(b"x" * 20, 20),
        lambda asked: asked.head("bytes", 206, "bytes 0-1048575/1048576", "Transfer-Encoding: chunked") + b"100000000\r\n" + b"x" * 2 * MIB,
        lambda asked: asked.head("bytes", 206, "bytes 0-1048575/1048576", "Content-Length: 99999999999999") + b"x" * 2 * MIB,
        lambda asked: asked.head("bytes", 206, "bytes 0-1048575/1048576", *(f"X-{number}: {'x' * 4000}" for number in range(1000))),
        lambda _: b"HTTP/1.1 100 Continue\r\n\r\n" * 10_000,
        lambda asked: asked.head("bytes", 307, "", "Location: http://127.0.0.1:1/", "Content-Length: 0"),
    ],
)
async def test_n17_20_nonsense_of_a_member_with_the_key_stops_no_pull(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, answered: Callable[[Asked], bytes]
) -> None:
    async with (
        Member(answered, hangs_up=True) as hostile,
        FakeRegistry() as upstream,
        fleet(tmp_path, {"docker.io": upstream.url}, 2, more=[hostile.url]) as rigs,
    ):
        blob = rooted_at(hostile.url, rigs, 2 * MIB)
        digest = upstream.add_blob(NAME, blob)
        await asyncio.gather(*(pull(each, digest) for each in rigs))
        assert hostile.asked
        for each in rigs:
            answer = await pull(each, digest)
            assert (answer.status, answer.body == blob) == (200, True)
            await each.settled()
    assert not [each.message for each in caplog.records if each.message == "this is a bug"]


async def test_n17_20_a_member_that_lies_about_the_size_leaves_no_other_one_suspected(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It says another one to each and hangs up, so that the others are to send the rest of a piece whose size they say otherwise."""
    blob, sizes = b"", count(3 * MIB - 20)

    def answered(asked: Asked) -> bytes:
        return asked.bytes_of(blob, next(sizes))[:-10]

    async with (
        Member(answered, hangs_up=True) as hostile,
        FakeRegistry() as upstream,
        fleet(tmp_path, {"docker.io": upstream.url}, 2, more=[hostile.url]) as rigs,
    ):
        blob = rooted_at(hostile.url, rigs, 3 * MIB)
        digest = upstream.add_blob(NAME, blob)
        for each in rigs * 2:
            answer = await pull(each, digest)
            await each.settled()
        assert (answer.status, answer.body == blob) == (200, True)
    said = {vars(each)["fields"]["member"] for each in caplog.records if each.message == "a member of the fleet does not serve"}
    assert said <= {hostile.url}


async def test_n17_03_who_breaks_off_is_asked_again_for_other_pieces(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It may be well, and whoever it had the piece from is not; one that is dead is found out at the next request."""
    blob = b""
    async with (
        Member(lambda asked: asked.bytes_of(blob)[:-10], hangs_up=True) as member,
        FakeRegistry() as upstream,
        fleet(tmp_path, {"docker.io": upstream.url}, 1, more=[member.url]) as (rig,),
    ):
        blob = rooted_at(member.url, [rig], 3 * MIB)
        answer = await pull(rig, upstream.add_blob(NAME, blob))
        assert (answer.status, answer.body == blob) == (200, True)
        await rig.settled()
        assert member.asked
        assert upstream.sent_blob_bytes() <= len(blob) - len(member.asked) * (MIB - 10)
    assert not [each for each in caplog.records if each.message == "a member of the fleet does not serve"]


async def test_n17_03_a_piece_whose_writer_gave_up_is_begun_anew(tmp_path: Path) -> None:
    """The writer is another worker, and removes what it has; whoever read along has some of it already."""
    async with FakeRegistry() as upstream, fleet(tmp_path, {"docker.io": upstream.url}, 1, more=["http://127.0.0.1:1"]) as (rig,):
        blob = os.urandom(2 * MIB)
        digest = upstream.add_blob(NAME, blob)
        name = PieceName(Blob(Repository("docker.io", NAME), digest), piece_at(0))
        other = PieceCache(tmp_path / "0" / "store" / "pieces", 10 * MIB, 600.0)
        file = other.open(name)
        file.begin(len(blob), MIB)
        file.write(0, blob[:1000])
        pulling = asyncio.create_task(pull(rig, digest))
        members = rig.proxy.handlers.members
        assert members is not None
        async with asyncio.timeout(100):
            while not any(each.written == 1000 for each in members.exchange._pieces.values()):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        file.drop()
        file.close()
        answer = await pulling
        assert (answer.status, answer.body == blob) == (200, True)
        await rig.settled()
        assert upstream.sent_blob_bytes() == len(blob)
        kept = other.open(name)
        assert (kept.hold, os.pread(kept.file.fileno(), MIB, kept.offset) == blob[:MIB]) == (Hold.WHOLE, True)
        kept.close()
