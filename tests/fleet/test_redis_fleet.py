"""What two replicas share through a real Redis, and what they do not believe."""

import itertools

import pytest
from redis.asyncio import Redis

from regproxy.fleet.redis_fleet import RedisFleet
from regproxy.policy.credential import Secret
from regproxy.policy.upstream.tokens import Token
from tests.fleet.redis_server import RedisServer
from tests.fleet.replicas import KEY, LASTING, LONG, NOW, OTHER_RING, REFERENCE, RING, TOKEN, replica, written


async def test_a_replica_with_another_key_knows_nothing_of_it(server: RedisServer) -> None:
    async with replica(server.url) as one, replica(server.url, OTHER_RING) as other:
        await written(one)
        assert (await other.token(KEY), await other.tag(REFERENCE)) == (None, None)


async def test_s24_nothing_can_be_read_there_and_a_token_ends_before_it_expires(server: RedisServer) -> None:
    async with replica(server.url) as one, Redis.from_url(server.url) as spy:
        await written(one)
        keys = [bytes(key) for key in await spy.keys("*")]  # type: ignore[arg-type]
        seen = b" ".join([*keys, *[bytes(await spy.get(key) or b"") for key in keys]])  # type: ignore[arg-type]
        assert (len(keys), b"canary" in seen, b"library" in seen) == (2, False, False)
        (token,) = [key for key in keys if b":token:" in key]
        assert 0 < await spy.ttl(token) <= LASTING


FORGERIES = [
    pytest.param("SET", b"x" * 1000, id="a stranger's value"),
    pytest.param("SET", b"", id="nothing"),
    pytest.param("SET", b"{}", id="plain JSON"),
    pytest.param("SET", b"x" * 20_000_000, id="20 MB"),
    pytest.param("LPUSH", b"x", id="another type"),
]


@pytest.mark.parametrize(("command", "value"), FORGERIES)
async def test_s24_what_is_forged_counts_as_nothing(server: RedisServer, command: str, value: bytes) -> None:
    async with replica(server.url) as one, Redis.from_url(server.url) as forger:
        await written(one)
        for key in await forger.keys("*"):
            await forger.delete(key)
            await forger.execute_command(command, key, value)  # type: ignore[no-untyped-call]
        assert (await one.token(KEY), await one.tag(REFERENCE)) == (None, None)
        await forger.flushall()
        await written(one)
        assert await one.token(KEY) == TOKEN


async def test_s24_a_value_moved_under_another_name_counts_as_nothing(server: RedisServer) -> None:
    other = Secret("docker.io other")
    async with replica(server.url) as one, Redis.from_url(server.url) as forger:
        await written(one)
        (moved,) = await forger.keys("*:token:*")
        one.put_token(other, Token(Secret("x"), NOW + 100, NOW + LASTING))
        await one.connection.settled()
        (target,) = [key for key in await forger.keys("*:token:*") if key != moved]
        await forger.copy(moved, target, replace=True)  # type: ignore[arg-type]
        assert await one.token(other) is None


async def test_without_a_key_nothing_is_written_that_would_have_to_be_believed(server: RedisServer) -> None:
    async with replica(server.url, None) as one, replica(server.url, None) as other, Redis.from_url(server.url) as spy:
        await written(one)
        assert await spy.keys("*") == []
        assert (await other.token(KEY), await other.tag(REFERENCE)) == (None, None)


async def test_n12_18_an_old_answer_cannot_be_brought_back(server: RedisServer) -> None:
    """With `if-not-present` a tag that is known is never asked for again, so an old record would be believed for ever."""
    now = [NOW]
    fleet = RedisFleet(server.url, RING, lambda: now[0], LONG)
    async with Redis.from_url(server.url) as forger:
        await written(fleet)
        (place,) = await forger.keys("*:tag:*")
        old = await forger.get(place)
        assert old is not None
        now[0] += 3599
        assert await fleet.tag(REFERENCE) is not None
        now[0] += 2
        await forger.set(place, old)
        assert await fleet.tag(REFERENCE) is None
    await fleet.close()


async def test_n12_18_a_key_is_rotated_out_without_losing_what_is_known(server: RedisServer) -> None:
    rings = [RING, f"{RING},{OTHER_RING}", f"{OTHER_RING},{RING}", OTHER_RING]
    for before, after in itertools.pairwise(rings):
        async with replica(server.url, before) as one, replica(server.url, after) as other:
            await written(one)
            assert (await other.token(KEY), await other.tag(REFERENCE) is not None) == (TOKEN, True)
            await written(other)
            assert await one.token(KEY) == TOKEN
