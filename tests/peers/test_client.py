"""What a member may answer, and what is made of it."""

import asyncio
import json
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack, nullcontext

import pytest

from regproxy.oci.digest import Digest
from regproxy.oci.reference import Repository
from regproxy.peers.client import PeerClient
from regproxy.peers.keys import ANSWER, REQUEST, FleetKeys, Sealed
from regproxy.peers.names import Blob
from regproxy.peers.reply import BEAT, BYTES, OUTCOME, ZONE, PeerError
from tests.fakes.fleet import KEY
from tests.fakes.listener import Listener
from tests.fakes.member import Asked, Member
from tests.rig import LOOPBACK

BLOB = Blob(Repository("docker.io", "library/app"), Digest.of(b"blob"))
QUICK = 0.5  # seconds
Answered = Callable[[Asked], bytes]


def _foreign(mac: bytes) -> Answered:
    head = f"HTTP/1.1 206 OK\r\n{OUTCOME}: {BYTES}\r\nContent-Range: bytes 0-3/4\r\nContent-Length: 4\r\n{ANSWER}: "
    return lambda _: head.encode() + mac + b"\r\n\r\nblob"


def _said(text: str, before: bytes = b"") -> Answered:
    return lambda asked: asked.says(text, before)


def _error(details: object, kind: object = "Throttled", message: object = "wait") -> Answered:
    return _said(json.dumps({"error": {"kind": kind, "message": message, "details": details}}))


@pytest.mark.parametrize(
    "answered",
    [
        _foreign(b"\xff\xfe"),
        _foreign(b"f00"),
        _said("[]"),
        _said("{}"),
        _said("null", before=b"x" * 1_000_000),
        _error({"retry_after": "soon"}),
        _error({"retry_after": float("nan")}),
        _error({"retry_after": 1.0}, message=["wait"]),
        _error({}, kind=["Throttled"]),
        _error("nothing"),
        _said(json.dumps({"range": 5})),
        _said("[" * 15_000),
    ],
)
async def test_n17_03_what_no_member_says_is_no_answer(answered: Answered) -> None:
    client = PeerClient(FleetKeys(KEY, time.time), 60.0, time.time)
    async with Member(answered) as member:
        try:
            with pytest.raises(PeerError) as refused:
                async with client.piece(member.url, BLOB, 0, 4, is_final=True) as reply:
                    await reply.head()
            assert refused.value.is_suspect
        finally:
            await client.close()


@pytest.mark.parametrize(("beats", "is_believed"), [(3, True), (100_000, False)])
async def test_n17_03_a_member_says_that_it_is_at_work_before_it_says_what_comes_and_not_for_ever(beats: int, is_believed: bool) -> None:
    said, heard = json.dumps({"range": "bytes 0-3/4"}), list[int]()
    client = PeerClient(FleetKeys(KEY, time.time), 60.0, time.time)
    async with Member(lambda asked: asked.says(said, before=BEAT * beats)) as member:
        try:
            async with client.piece(member.url, BLOB, 0, 4, is_final=True) as reply:
                with nullcontext() if is_believed else pytest.raises(PeerError):
                    assert await reply.head(lambda: heard.append(1)) == (4, 4)
            assert (len(heard) == beats) is is_believed
        finally:
            await client.close()


@pytest.mark.parametrize(
    ("told", "zone"),
    [
        ("", ""),
        ("eu-1a", "eu-1a"),
        ("-eu", ""),
        ("x" * 64, ""),
        ("zürich", ""),
        ("<img/src=x>", ""),
        ('a"}', ""),
        ("eu-1a f00", None),
        ("x" * 10_000, None),
    ],
)
async def test_n17_03_a_zone_counts_as_its_member_signed_it(told: str, zone: str | None) -> None:
    client = PeerClient(FleetKeys(KEY, time.time), 60.0, time.time)
    async with Member(lambda _: b"", zone=told) as member:
        try:
            if zone is None:
                with pytest.raises(PeerError):
                    await client.zone(member.url)
            else:
                assert await client.zone(member.url) == zone
        finally:
            await client.close()


async def test_n17_20_what_a_member_said_before_of_its_zone_is_not_believed_again() -> None:
    client, macs = PeerClient(FleetKeys(KEY, time.time), 60.0, time.time), list[str]()

    class Replaying(Member):
        def _located(self, sealed: Sealed) -> list[str]:
            macs.append(sealed.mac(ZONE, "eu-1a"))
            return [f"{ZONE}: eu-1a {macs[0]}"]

    async with Replaying(lambda _: b"") as member:
        try:
            assert await client.zone(member.url) == "eu-1a"
            with pytest.raises(PeerError):
                await client.zone(member.url)
        finally:
            await client.close()


class _Busy(Listener):
    """A member that says that it lives, once it may."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.may_answer = asyncio.Event(), asyncio.Event()
        self._keys = FleetKeys(KEY, time.time)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        method, target, _ = head[0].split(" ")
        fields = dict(line.split(": ", 1) for line in head[1:] if line)
        sealed = self._keys.opened(fields[REQUEST], method, fields["Host"], target, "")
        self.asked.set()
        await self.may_answer.wait()
        writer.write(Asked(0, 0, sealed).head(BYTES, 200, "", "Content-Length: 0"))


async def test_n17_03_a_member_that_is_connected_to_is_waited_for_longer() -> None:
    """Its machine lives, and has much to do, as where all clients of a fleet come at once."""
    client = PeerClient(FleetKeys(KEY, time.time), QUICK, time.time)
    async with _Busy() as member:
        try:
            trouble = asyncio.create_task(client.ping(member.url))
            await member.asked.wait()
            asyncio.get_running_loop().call_later(2 * QUICK, member.may_answer.set)
            assert (await trouble).trouble is None
            member.may_answer.clear()
            assert (await client.ping(member.url)).trouble == f"it did not answer within {3 * QUICK:g} s"
        finally:
            await client.close()


async def test_n17_03_a_member_that_takes_no_connection_is_not() -> None:
    client = PeerClient(FleetKeys(KEY, time.time), QUICK, time.time)
    with socket.socket() as listening, ExitStack() as stack:
        listening.bind((LOOPBACK, 0))
        listening.listen(0)
        for _ in range(3):  # until there is no room for one more
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listening.getsockname())
        try:
            port = listening.getsockname()[1]
            assert (await client.ping(f"http://{LOOPBACK}:{port}")).trouble == f"it took no connection within {QUICK:g} s"
        finally:
            await client.close()
