"""Two replicas and a real Redis."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from redis.asyncio import Redis

from regproxy.oci.descriptor import Descriptor
from regproxy.oci.digest import Digest
from regproxy.oci.reference import Reference, Repository, Tag
from regproxy.policy.freshness import TagRecord
from regproxy.policy.routing import Secret
from regproxy.policy.tokens import Token
from regproxy.state.redis import RedisFleet
from tests.fakes.relay import Relay
from tests.rig import free_port
from tests.state.redis_server import RedisServer

NOW = 1_785_585_600.0
KEY = Secret("docker.io canary-password")
TOKEN = Token(Secret("canary-token-5e1f"), NOW + 100, NOW + 200)
REFERENCE = Reference(Repository("docker.io", "library/app"), Tag("1"))
RECORD = TagRecord(Descriptor("application/vnd.oci.image.index.v1+json", Digest.of(b""), 0), NOW)


@asynccontextmanager
async def replica(url: str, key: str = "the key") -> AsyncIterator[RedisFleet]:
    fleet = RedisFleet(url, key, lambda: NOW)
    try:
        yield fleet
    finally:
        await fleet.close()


async def written(fleet: RedisFleet) -> None:
    fleet.put_token(KEY, TOKEN)
    fleet.put_tag(REFERENCE, RECORD)
    await asyncio.gather(*fleet._tasks)


async def until_back(fleet: RedisFleet) -> None:
    """Wait until the door is open again."""
    async with asyncio.timeout(5):
        if (knocking := fleet._knocking) is not None:
            await knocking


async def test_what_one_replica_found_the_other_knows(server: RedisServer) -> None:
    async with replica(server.url) as one, replica(server.url) as other:
        assert (await other.token(KEY), await other.tag(REFERENCE)) == (None, None)
        await written(one)
        assert (await other.token(KEY), await other.tag(REFERENCE)) == (TOKEN, RECORD)


async def test_a_replica_with_another_key_knows_nothing_of_it(server: RedisServer) -> None:
    async with replica(server.url) as one, replica(server.url, "another key") as other:
        await written(one)
        assert (await other.token(KEY), await other.tag(REFERENCE)) == (None, None)


async def test_s24_nothing_can_be_read_there_and_a_token_ends_before_it_expires(server: RedisServer) -> None:
    async with replica(server.url) as one, Redis.from_url(server.url) as spy:
        await written(one)
        keys = [bytes(key) for key in await spy.keys("*")]  # type: ignore[arg-type]
        seen = b" ".join([*keys, *[bytes(await spy.get(key) or b"") for key in keys]])  # type: ignore[arg-type]
        assert (len(keys), b"canary" in seen, b"library" in seen) == (2, False, False)
        (token,) = [key for key in keys if b":token:" in key]
        assert 0 < await spy.ttl(token) <= 200


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
        one.put_token(other, Token(Secret("x"), NOW + 100, NOW + 200))
        await asyncio.gather(*one._tasks)
        (target,) = [key for key in await forger.keys("*:token:*") if key != moved]
        await forger.copy(moved, target, replace=True)  # type: ignore[arg-type]
        assert await one.token(other) is None


async def test_turns_are_taken_one_after_the_other(server: RedisServer) -> None:
    order: list[str] = []
    async with replica(server.url) as one, replica(server.url) as other:

        async def take(fleet: RedisFleet, name: str) -> None:
            async with fleet.turn("work"):
                order.append(f"{name} begins")
                await asyncio.sleep(0)
                order.append(f"{name} ends")

        await asyncio.gather(take(one, "one"), take(other, "other"))
    assert order in (["one begins", "one ends", "other begins", "other ends"], ["other begins", "other ends", "one begins", "one ends"])


async def test_p06_a_turn_whose_holder_is_gone_is_waited_for_only_so_long(server: RedisServer) -> None:
    async with replica(server.url) as one, replica(server.url) as other, asyncio.timeout(10), one.turn("work"), other.turn("work"):
        pass


class TestRedisIsInTrouble:
    """Row P05: nobody waits for long, nothing fails, and it recovers by itself."""

    async def test_p05_refused(self) -> None:
        async with replica(f"redis://127.0.0.1:{free_port()}") as fleet:
            assert await fleet.token(KEY) is None
            async with fleet.turn("work"):
                assert await fleet.tag(REFERENCE) is None

    async def test_p05_stopped_and_started_again(self, server: RedisServer) -> None:
        async with replica(server.url) as fleet:
            await written(fleet)
            server.stop()
            assert await fleet.token(KEY) is None
            server.start()
            await until_back(fleet)
            await written(fleet)
            assert await fleet.token(KEY) == TOKEN

    async def test_p05_paused(self, server: RedisServer) -> None:
        async with replica(server.url) as fleet:
            await written(fleet)
            server.pause()
            try:
                async with asyncio.timeout(2):
                    for _ in range(100):
                        assert await fleet.token(KEY) is None, "the first waits a moment, the others not at all"
            finally:
                server.go_on()
            await until_back(fleet)
            assert await fleet.token(KEY) == TOKEN

    async def test_p05_flushed(self, server: RedisServer) -> None:
        async with replica(server.url) as fleet, Redis.from_url(server.url) as other:
            await written(fleet)
            await other.flushall()
            assert await fleet.token(KEY) is None
            await written(fleet)
            assert await fleet.token(KEY) == TOKEN

    @pytest.mark.parametrize("setting", [("min-replicas-to-write", "1"), ("maxmemory", "1")], ids=["read-only", "out of memory"])
    async def test_p05_nothing_can_be_written(self, server: RedisServer, setting: tuple[str, str]) -> None:
        async with replica(server.url) as fleet, Redis.from_url(server.url) as admin:
            await written(fleet)
            await admin.config_set(*setting)
            async with fleet.turn("work"):
                assert await fleet.token(KEY) == TOKEN
            await written(fleet)

    async def test_p05_a_wrong_password(self, server: RedisServer) -> None:
        async with Redis.from_url(server.url) as admin:
            await admin.config_set("requirepass", "secret")
        async with replica(server.url) as fleet:
            assert await fleet.token(KEY) is None
        async with replica(server.url.replace("//", "//:secret@")) as fleet:
            await written(fleet)
            assert await fleet.token(KEY) == TOKEN


async def test_s25_a_call_that_was_given_up_leaves_its_answer_to_nobody(server: RedisServer) -> None:
    """After redis-py's own tests of CVE-2023-28858: a relay that delays, and readers who leave."""
    keys = [Secret(f"key {number}") for number in range(20)]
    async with Relay("127.0.0.1", server.port) as relay, replica(f"redis://127.0.0.1:{relay.port}") as fleet:
        tokens = {key: Token(Secret(f"token of {key.value}"), NOW + 100, NOW + 200) for key in keys}
        for key in keys:
            fleet.put_token(key, tokens[key])
        await asyncio.gather(*fleet._tasks)
        relay.delay = 0.01
        for turn in range(50):
            reading = [asyncio.create_task(fleet.token(key)) for key in keys]
            await asyncio.sleep(0.001 * (turn % 20))
            for task in reading[::2]:
                task.cancel()
            found = await asyncio.gather(*reading, return_exceptions=True)
            wrong = [each for key, each in zip(keys, found, strict=True) if isinstance(each, Token) and each != tokens[key]]
            assert wrong == []
        relay.delay = 0.0
        await until_back(fleet)
        assert [await fleet.token(key) for key in keys] == list(tokens.values())
