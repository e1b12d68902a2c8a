"""Locks of replicas, at a real Redis."""

import asyncio
import re

from redis.asyncio import Redis

from regproxy.fleet.encryption import Encryption
from regproxy.fleet.redis import TIMEOUT
from tests.fleet.redis_server import RedisServer
from tests.fleet.replicas import LONG, NOW, RING, replica, watched


async def test_p06_a_turn_is_waited_for_as_long_as_it_is_worked_at(server: RedisServer) -> None:
    """However often it is renewed, going by what Redis is told."""
    order: list[str] = []
    async with watched(server) as told, replica(server.url) as one, replica(server.url) as other:

        async def wait() -> None:
            async with other.lock("work"):
                order.append("other")

        async with one.lock("work"):
            waiting = asyncio.create_task(wait())
            for _ in range(10):
                await told.readuntil(b'"PX"')
            order.append("one")
        await waiting
    assert order == ["one", "other"]


async def test_p06_a_turn_whose_holder_is_gone_ends_by_itself_soon(server: RedisServer) -> None:
    """A pull may be 200 ms late: that long, and a look whether it is over."""
    async with watched(server) as told, replica(server.url) as one, Redis.from_url(server.url) as spy:
        async with one.lock("work"):
            key, life = await _turn_taken(told)
            mark = await spy.get(key)
        assert mark is not None
        assert (life, 3 * 1000 * TIMEOUT <= 150) == (3 * 1000 * LONG, True)
        await one.connection.settled()
        await spy.set(key, mark, px=150)
        async with asyncio.timeout(300), one.lock("work"):
            assert await spy.get(key) != mark


async def test_p06_a_turn_that_was_lost_meanwhile_is_left_to_its_new_holder(server: RedisServer) -> None:
    async with watched(server) as told, replica(server.url) as one, Redis.from_url(server.url) as spy:
        async with one.lock("work"):
            key, _ = await _turn_taken(told)
            await spy.set(key, b"another's")
        await one.connection.settled()
        assert await spy.get(key) == b"another's"


async def test_p06_who_has_waited_for_a_turn_finds_what_was_put_in_it(server: RedisServer) -> None:
    """However late that comes to Redis: it goes by another connection than the end of the turn."""
    gate = asyncio.Event()

    async def put_late(redis: Redis) -> None:
        await gate.wait()
        await redis.set("found", b"it")

    async with replica(server.url) as one, replica(server.url) as other, Redis.from_url(server.url) as spy:

        async def found() -> object:
            async with other.lock("work"):
                return await spy.get("found")

        async with one.lock("work"):
            one.connection.call_behind(put_late)
        asyncio.get_running_loop().call_later(0.2, gate.set)
        assert await found() == b"it"


async def test_n12_18_a_turn_held_without_the_key_holds_nobody_up(server: RedisServer) -> None:
    """One look is enough, going by what Redis is told."""
    async with watched(server) as told, replica(server.url) as one, Redis.from_url(server.url) as forger:
        async with one.lock("work"):
            key, _ = await _turn_taken(told)
        await one.connection.settled()
        await forger.set(key, b"x" * 59)
        async with one.lock("work"):
            assert await forger.get(key) == b"x" * 59
        await one.connection.settled()
        await forger.set(key, b"end")
        heard = await told.readuntil(b'"end"')
        assert heard.partition(b"x" * 59)[2].count(b'"getrange"') == 1


async def test_n12_18_an_old_mark_that_is_kept_holds_nobody_up_for_long(server: RedisServer) -> None:
    """A mark that is not made anew is believed as long as one of a holder that died; this one never ends."""
    encryption, timeout = Encryption(RING), 1.0
    key = f"regproxy:lock:{encryption.names('work')[0]}"
    mark = encryption.mark(key, NOW)
    async with watched(server) as told, replica(server.url, timeout=timeout) as one, Redis.from_url(server.url) as forger:
        await forger.set(key, mark)
        async with one.lock("work"):
            assert await forger.get(key) == mark, "we go on without a lock"
        await forger.set(key, b"end")
        heard = await told.readuntil(b'"end"')
        assert heard.count(b'"getrange"') <= 1 + 3 * timeout / 0.05 + 3


async def _turn_taken(told: asyncio.StreamReader) -> tuple[bytes, int]:
    """Find the key of the lock that was taken, and the milliseconds it lives."""
    taken = re.compile(rb'(?i)"SET" "(regproxy:lock:\w+)" .* "PX" "(\d+)"')
    while (found := taken.search(await told.readline())) is None:
        pass
    return found[1], int(found[2])
