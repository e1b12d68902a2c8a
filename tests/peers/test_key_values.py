"""What a member may answer who keeps something for all, and what is made of it."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from urllib.parse import parse_qs

import pytest

from regproxy.fleet.sealed import MAX_SEALED
from regproxy.peers.client import PeerClient
from regproxy.peers.key_values import LOCKS, NONE, RemoteKeyValues, Wanted, answered, hash_of, wanted
from regproxy.peers.keys import ANSWER, REQUEST, FleetKeys, Sealed
from regproxy.peers.reply import BUSY, BYTES, OUTCOME, PENDING, BusyError, PeerError
from tests.fakes.fleet import KEY
from tests.fakes.listener import Listener

Answered = Callable[[Sealed], bytes]
QUICK = 0.2


class Owner(Listener):
    """A member with the key that answers each request as it is told to, and then no more."""

    def __init__(self, answered: Answered, *, hangs: bool = False) -> None:
        super().__init__()
        self._answered = answered
        self._hangs = hangs
        self._keys = FleetKeys(KEY, time.time)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        method, target, _ = head[0].split(" ")
        asked = dict(line.split(": ", 1) for line in head[1:] if line)
        writer.write(self._answered(self._keys.opened(asked[REQUEST], method, asked["Host"], target, "")))
        if self._hangs:
            await reader.read()
        writer.close()


def _said(outcome: str, body: bytes = b"", length: int | None = None, mac: str | None = None) -> Answered:
    def answered(sealed: Sealed) -> bytes:
        sized = f"Content-Length: {len(body) if length is None else length}"
        head = f"HTTP/1.1 200 OK\r\n{OUTCOME}: {outcome}\r\n{ANSWER}: {mac or sealed.mac('200', outcome, '')}\r\n{sized}\r\n\r\n"
        return head.encode() + body

    return answered


@asynccontextmanager
async def owning(answered: Answered, *, hangs: bool = False, timeout: float = 30.0) -> AsyncIterator[RemoteKeyValues]:
    client = PeerClient(FleetKeys(KEY, time.time), 60.0, time.time)
    async with Owner(answered, hangs=hangs) as owner:
        try:
            yield RemoteKeyValues(client, owner.url, timeout)
        finally:
            await client.close()


async def test_n17_05_a_value_or_that_there_is_none_is_believed() -> None:
    async with owning(_said(BYTES, b"sealed")) as owner:
        assert await owner.get("a") == b"sealed"
        assert await owner.take("a", "ticket", 1.0, "us")
    async with owning(_said(NONE)) as owner:
        assert await owner.get("a") is None
        assert not await owner.take("a", "ticket", 1.0, "us")


@pytest.mark.parametrize(
    "answered",
    [
        _said(BYTES, b"seal", length=6),
        _said(BYTES, bytes(MAX_SEALED + 1)),
        _said(BYTES, b"sealed", mac="f00"),
        lambda _: b"nonsense\r\n\r\n",
        lambda sealed: f"HTTP/1.1 200 OK\r\n{OUTCOME}: {BYTES}\r\n{ANSWER}: {sealed.mac('200', BYTES, '')}\r\n\r\nendless".encode(),
    ],
)
async def test_n17_06_what_is_no_value_is_nobodys_answer(answered: Answered) -> None:
    async with owning(answered) as owner:
        with pytest.raises(PeerError) as refused:
            await owner.get("a")
    assert refused.value.is_suspect


@pytest.mark.parametrize("outcome", [BUSY, PENDING, "another version's"])
async def test_n17_05_a_member_that_is_busy_is_not_suspected(outcome: str) -> None:
    async with owning(_said(outcome)) as owner:
        calls: Sequence[Callable[[], object]] = (
            lambda: owner.get("a"),
            lambda: owner.put("a", b"1", 1.0, "us"),
            lambda: owner.take("a", "ticket", 1.0, "us"),
            lambda: owner.release("a", "ticket"),
        )
        for call in calls:
            with pytest.raises(BusyError):
                await call()  # type: ignore[misc]


@pytest.mark.parametrize(("signs", "is_released"), [(b"+", True), (b"...+", True), (b"-", False), (b"..x", False)])
async def test_n17_05_a_lock_is_waited_for_as_long_as_its_keeper_lives(signs: bytes, is_released: bool) -> None:
    async with owning(_said(PENDING, signs)) as owner:
        assert await owner.wait("a", 60.0, "us") == is_released


@pytest.mark.parametrize("hangs", [True, False], ids=["stopped", "killed"])
async def test_n17_06_a_keeper_that_falls_silent_is_not_waited_for(hangs: bool) -> None:
    async with owning(_said(PENDING, b".", length=100), hangs=hangs, timeout=QUICK) as owner:
        with pytest.raises(PeerError):
            await owner.wait("a", 600.0, "us")


async def test_n17_06_a_keeper_that_hangs_costs_so_much_time() -> None:
    async with owning(lambda _: b"", hangs=True, timeout=QUICK) as owner:
        with pytest.raises(PeerError):
            await owner.get("a")


async def test_n17_06_a_keeper_that_answers_others_meanwhile_is_waited_for_longer() -> None:
    reply: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    others = iter(range(100))

    async def slow() -> int:
        return await reply

    asyncio.get_running_loop().call_later(3 * QUICK, reply.set_result, 7)
    assert await answered(slow(), QUICK, lambda: next(others)) == 7
    reply = asyncio.get_running_loop().create_future()
    with pytest.raises(PeerError):
        await answered(slow(), QUICK / 10, lambda: next(others))


async def test_n17_06_who_has_stopped_to_ask_asks_nobody() -> None:
    client = PeerClient(FleetKeys(KEY, time.time), 60.0, time.time)
    await client.close()
    with pytest.raises(PeerError) as refused:
        await RemoteKeyValues(client, "http://127.0.0.1:1", 30.0).get("a")
    assert not refused.value.is_suspect


def test_n17_05_what_is_asked_is_read_as_it_was_meant() -> None:
    said = Wanted("a" * 64, "http://[fd00::1]:5000", 1.5, "b" * 32, hash_of(b"value"))
    assert wanted(parse_qs(said.target(LOCKS).partition("?")[2], strict_parsing=True)) == said
