"""Two replicas and a real Redis."""

import asyncio
import itertools
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from redis.asyncio import Redis

from regproxy.fleet.encryption import Encryption
from regproxy.fleet.redis import TIMEOUT
from regproxy.fleet.redis_fleet import RedisFleet
from regproxy.oci.descriptor import Descriptor
from regproxy.oci.digest import Digest
from regproxy.oci.reference import Reference, Repository, Tag
from regproxy.policy.credential import Secret
from regproxy.policy.freshness import TagRecord
from regproxy.policy.upstream.tokens import Token
from regproxy.telemetry import metrics
from tests.fakes.relay import Relay
from tests.fleet.redis_server import RedisServer
from tests.rig import free_port

NOW = 1_785_585_600.0
KEY = Secret("docker.io canary-password")
LASTING = 40_000  # seconds: what is put does not end while the test runs, however slowly that is
TOKEN = Token(Secret("canary-token-5e1f"), NOW + 100, NOW + LASTING)
REFERENCE = Reference(Repository("docker.io", "library/app"), Tag("1"))
LONG = 30.0  # seconds for a call: what Redis does is asked here, and not how quickly
RECORD = TagRecord(Descriptor("application/vnd.oci.image.index.v1+json", Digest.of(b""), 0), NOW)


RING = "canary-key-0123456789abcdef0123456789abcdef"
OTHER_RING = "canary-other-key-0123456789abcdef0123456789"


@asynccontextmanager
async def replica(url: str, key: str | None = RING, timeout: float = LONG) -> AsyncIterator[RedisFleet]:
    fleet = RedisFleet(url, key, lambda: NOW, timeout)
    try:
        yield fleet
    finally:
        await fleet.close()


async def written(fleet: RedisFleet) -> None:
    fleet.put_token(KEY, TOKEN)
    fleet.put_tag(REFERENCE, RECORD)
    await fleet.connection.settled()


async def until_back(fleet: RedisFleet) -> None:
    """Wait until the connection is open again."""
    async with asyncio.timeout(300):
        await fleet.connection.settled()


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


@asynccontextmanager
async def watched(server: RedisServer) -> AsyncIterator[asyncio.StreamReader]:
    """Hear everything that Redis is told."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"MONITOR\r\n")
    yield reader
    writer.close()


async def _turn_taken(told: asyncio.StreamReader) -> tuple[bytes, int]:
    """Find the key of the lock that was taken, and the milliseconds it lives."""
    taken = re.compile(rb'(?i)"SET" "(regproxy:lock:\w+)" .* "PX" "(\d+)"')
    while (found := taken.search(await told.readline())) is None:
        pass
    return found[1], int(found[2])


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
