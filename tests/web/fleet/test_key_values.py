"""What a member may ask for, and what becomes of requests that no member makes."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
import pytest
from yarl import URL

from regproxy.fleet.sealed import MAX_SEALED
from regproxy.peers.key_values import LOCKS, NONE, VALUES, Wanted, hash_of
from regproxy.peers.keys import ANSWER, REQUEST, FleetKeys
from regproxy.peers.reply import BUSY, BYTES, OUTCOME
from tests.fakes.fleet import KEY
from tests.fakes.members import Member, members

NAME = "a" * 64
VALUE = b"sealed"


@dataclass
class Asker:
    """Asks one member as another would."""

    member: Member
    session: aiohttp.ClientSession

    async def ask(self, method: str, target: str, body: bytes | None = None, **headers: str) -> tuple[str, bytes]:
        """Return the outcome and the body, once the answer is known to be the member's."""
        host = self.member.url.removeprefix("http://")
        field, sealed = FleetKeys(KEY, time.time).signed(method, host, target, "")
        url = URL(f"{self.member.url}{target}", encoded=True)
        async with self.session.request(method, url, data=body, headers={REQUEST: field, **headers}) as answer:
            sealed.check(answer.headers[ANSWER], str(answer.status), answer.headers[OUTCOME], "")
            return answer.headers[OUTCOME], await answer.read()


@pytest.fixture
async def asker() -> AsyncIterator[Asker]:
    async with asking() as found:
        yield found


@asynccontextmanager
async def asking() -> AsyncIterator[Asker]:
    async with members(1) as (member,), aiohttp.ClientSession() as session:
        yield Asker(member, session)


def put(value: bytes = VALUE, seconds: float = 60.0) -> str:
    return Wanted(NAME, "us", seconds, hash=hash_of(value)).target(VALUES)


async def test_n17_05_what_is_put_is_given(asker: Asker) -> None:
    assert await asker.ask("GET", Wanted(NAME).target(VALUES)) == (NONE, b"")
    assert await asker.ask("PUT", put(), VALUE) == (BYTES, b"")
    assert await asker.ask("GET", Wanted(NAME).target(VALUES)) == (BYTES, VALUE)


async def test_n17_05_a_lock_is_waited_for_until_it_is_released(asker: Asker) -> None:
    mine = Wanted(NAME, "us", 60.0, "mine").target(LOCKS)
    assert await asker.ask("PUT", mine) == (BYTES, b"")
    assert await asker.ask("PUT", Wanted(NAME, "them", 60.0, "theirs").target(LOCKS)) == (NONE, b"")
    assert (await asker.ask("GET", Wanted(NAME, "them", 0.01).target(LOCKS)))[1].strip(b".") == b"-"
    waiting = asyncio.create_task(asker.ask("GET", Wanted(NAME, "them", 60.0).target(LOCKS)))
    while not asker.member.kept._waiters:  # noqa: ASYNC110 -- another task is watched
        await asyncio.sleep(0.01)
    assert await asker.ask("DELETE", mine) == (BYTES, b"")
    assert (await waiting)[1].strip(b".") == b"+"


async def test_n17_06_who_leaves_waits_no_more(asker: Asker) -> None:
    await asker.ask("PUT", Wanted(NAME, "us", 60.0, "mine").target(LOCKS))
    waiting = asyncio.create_task(asker.ask("GET", Wanted(NAME, "them", 60.0).target(LOCKS)))
    while not asker.member.kept._waiters:  # noqa: ASYNC110 -- another task is watched
        await asyncio.sleep(0.01)
    waiting.cancel()
    async with asyncio.timeout(30):  # and not the minute that it wanted to wait
        while asker.member.kept._waiters:  # noqa: ASYNC110 -- another task is watched
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("method", "target", "body"),
    [
        ("GET", VALUES, None),
        ("GET", f"{VALUES}?name=", None),
        ("GET", f"{VALUES}?name=a&name=b", None),
        ("GET", f"{VALUES}?name={'a' * 65}", None),
        ("GET", f"{VALUES}?seconds=1", None),
        ("GET", f"{LOCKS}?name=a&seconds=nan", None),
        ("GET", f"{LOCKS}?name=a&seconds=-1", None),
        ("GET", f"{LOCKS}?name=a&seconds=1e99", None),
        ("PUT", f"{LOCKS}?name=a&seconds=soon", None),
        ("PUT", f"{LOCKS}?name=a&seconds=1&from={'a' * 301}", None),
        ("DELETE", f"{VALUES}?name=a", None),
        ("POST", f"{LOCKS}?name=a", None),
        ("PUT", put(), None),
        ("PUT", put(), b"other bytes"),
        ("PUT", Wanted(NAME, "us", 60.0).target(VALUES), VALUE),
        ("PUT", put(bytes(MAX_SEALED + 1)), bytes(MAX_SEALED + 1)),
    ],
)
async def test_n17_05_what_no_member_asks_is_refused_and_changes_nothing(
    asker: Asker, method: str, target: str, body: bytes | None
) -> None:
    assert await asker.ask(method, target, body) == (BUSY, b"")
    assert asker.member.kept.bytes_kept == 0
    assert not asker.member.kept._locks


async def test_n17_05_a_value_that_ends_short_is_not_kept(asker: Asker) -> None:
    host, port = asker.member.url.removeprefix("http://").split(":")
    target = put()
    field, _ = FleetKeys(KEY, time.time).signed("PUT", f"{host}:{port}", target, "")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = f"PUT {target} HTTP/1.1\r\nHost: {host}:{port}\r\n{REQUEST}: {field}\r\nContent-Length: {len(VALUE)}\r\n\r\n"
    writer.write(head.encode() + VALUE[:3])
    writer.close()
    await reader.read()
    assert await asker.ask("GET", Wanted(NAME).target(VALUES)) == (NONE, b"")
