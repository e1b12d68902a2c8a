"""A connection to Redis that is in trouble, and answers that belong to nobody."""

import asyncio

import pytest
from redis.asyncio import Redis

from regproxy.fleet.redis import TIMEOUT
from regproxy.fleet.redis_fleet import RedisFleet
from regproxy.policy.credential import Secret
from regproxy.policy.upstream.tokens import Token
from regproxy.telemetry import metrics
from tests.fakes.relay import Relay
from tests.fleet.redis_server import RedisServer
from tests.fleet.replicas import KEY, LASTING, LONG, NOW, REFERENCE, TOKEN, replica, until_back, written
from tests.free_port import free_port


class TestRedisIsInTrouble:
    """Row P05: nobody waits for long, nothing fails, and it recovers by itself."""

    async def test_p05_refused(self) -> None:
        async with replica(f"redis://127.0.0.1:{free_port()}") as fleet:
            assert await fleet.token(KEY) is None
            async with fleet.lock("work"):
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
        async with replica(server.url) as writer:
            await written(writer)
        async with replica(server.url, timeout=TIMEOUT) as fleet:
            server.pause()
            before = _errors()
            try:
                for _ in range(100):
                    assert await fleet.token(KEY) is None
            finally:
                server.go_on()
            assert _errors() - before == 1, "the first waits a moment, the others not at all"
            fleet.connection.timeout = LONG
            assert await once_back(fleet, KEY) == TOKEN

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
            async with fleet.lock("work"):
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


@pytest.mark.parametrize("timeout", [LONG, 0.015], ids=["by its asker", "by us too"])
async def test_s25_a_call_that_was_given_up_leaves_its_answer_to_nobody(server: RedisServer, timeout: float) -> None:
    """After redis-py's own tests of CVE-2023-28858: a relay that delays, and readers who leave."""
    keys = [Secret(f"key {number}") for number in range(20)]
    tokens = {key: Token(Secret(f"token-of-{number}"), NOW + 100, NOW + LASTING) for number, key in enumerate(keys)}
    async with replica(server.url) as writer:
        for key in keys:
            writer.put_token(key, tokens[key])
    async with Relay("127.0.0.1", server.port) as relay, replica(f"redis://127.0.0.1:{relay.port}", timeout=timeout) as fleet:
        relay.delay = 0.01
        for lock in range(50):
            reading = [asyncio.create_task(fleet.token(key)) for key in keys]
            await asyncio.sleep(0.001 * (lock % 20))
            for task in reading[::2]:
                task.cancel()
            found = await asyncio.gather(*reading, return_exceptions=True)
            wrong = [each for key, each in zip(keys, found, strict=True) if isinstance(each, Token) and each != tokens[key]]
            assert wrong == []
        relay.delay, fleet.connection.timeout = 0.0, LONG
        assert [await once_back(fleet, key) for key in keys] == list(tokens.values())


def _errors() -> float:
    [family] = metrics.REDIS_ERRORS.collect()
    return next(sample.value for sample in family.samples if sample.name.endswith("_total"))


async def once_back(fleet: RedisFleet, key: Secret) -> Token:
    """Ask as often as Redis is too slow for us: others work on this machine."""
    async with asyncio.timeout(300):
        while (token := await fleet.token(key)) is None:
            await fleet.connection.settled()
    return token
