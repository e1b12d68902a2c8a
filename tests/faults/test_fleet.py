"""Replicas that share a Redis, and what becomes of pulls when it is in trouble: rows P05, P06, P07, S17, S24."""

import asyncio
import logging
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
import yaml

from regproxy.fleet.redis import TIMEOUT
from tests.clients.processes import Daemon, is_listening
from tests.fakes.deeds import Hold
from tests.fakes.registry import FakeRegistry
from tests.fakes.relay import Relay
from tests.fleet.redis_server import RedisServer
from tests.free_port import free_port
from tests.rig import Answer, Rig, rig

NAME = "library/app"
PASSWORD = "canary-password-d10e"
KEY = "canary-key-1f0123456789abcdef0123456789abcdef"


@pytest.fixture
async def upstream() -> AsyncIterator[FakeRegistry]:
    async with FakeRegistry("password", password=PASSWORD) as registry:
        registry.add_image(NAME, "1", [b"layer"])
        yield registry


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[RedisServer]:
    redis = RedisServer(tmp_path)
    await asyncio.to_thread(redis.start)
    yield redis
    await asyncio.to_thread(redis.stop)


@asynccontextmanager
async def replica(root: Path, upstream: FakeRegistry, url: str, fresh_for: str = "5m", timeout: str = "60s") -> AsyncIterator[Rig]:
    host = {"url": upstream.url, "credentials": {"username": "user", "password": PASSWORD}}
    upstreams = {"docker.io": {"hosts": [host], "tags": [{"fresh_for": fresh_for}]}}
    async with rig(root, upstreams, redis={"url": url, "key": KEY, "timeout": timeout}) as proxy:
        yield proxy


async def pulled(proxy: Rig) -> Answer:
    return await proxy.ask(f"/v2/{NAME}/manifests/1?ns=docker.io")


async def test_two_replicas_ask_for_one_token_and_resolve_a_tag_once(upstream: FakeRegistry, server: RedisServer, tmp_path: Path) -> None:
    async with replica(tmp_path / "a", upstream, server.url) as one, replica(tmp_path / "b", upstream, server.url) as other:
        answers = await asyncio.gather(*(pulled(proxy) for proxy in (one, other) for _ in range(20)))
    assert {answer.status for answer in answers} == {200}
    assert len(upstream.issued) == 1
    by_tag = [entry for entry in upstream.ledger if entry.kind == "manifests" and entry.reference == "1" and entry.status == 200]
    assert len(by_tag) == 1


async def test_a_replica_that_starts_anew_needs_no_new_token(upstream: FakeRegistry, server: RedisServer, tmp_path: Path) -> None:
    for root in ("a", "b", "c"):
        async with replica(tmp_path / root, upstream, server.url) as proxy:
            assert (await pulled(proxy)).status == 200
    assert len(upstream.issued) == 1


async def test_s24_no_secret_is_told_to_redis_or_of_it(
    upstream: FakeRegistry, server: RedisServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"MONITOR\r\n")
    with caplog.at_level(logging.DEBUG):
        async with replica(tmp_path / "a", upstream, server.url) as proxy:
            assert (await pulled(proxy)).status == 200
    heard = (await reader.read(1_000_000)).decode("latin-1")
    writer.close()
    canaries = [PASSWORD, KEY, *upstream.issued]
    assert "SET" in heard.upper()
    assert [canary for canary in canaries if canary in heard or canary in caplog.text] == []


async def test_p06_a_holder_that_stands_still_is_waited_for_only_so_long(
    upstream: FakeRegistry, server: RedisServer, tmp_path: Path
) -> None:
    """SIGSTOP of a replica whose turn it is; when it goes on, there were two questions at worst, and both answers are right."""
    port, hold = free_port(), Hold()
    document = {
        "listen": f"127.0.0.1:{port}",
        "admin_listen": f"127.0.0.1:{free_port()}",
        "store": {"root": str(tmp_path / "holder")},
        "redis": {"url": server.url, "key": KEY},
        "timeouts": {"headers": "60s"},
        "upstreams": {"docker.io": {"hosts": [{"url": upstream.url, "credentials": {"username": "user", "password": PASSWORD}}]}},
    }
    config = tmp_path / "holder.yaml"
    config.write_text(yaml.safe_dump(document))
    holder = Daemon([sys.executable, "-m", "regproxy", "serve", "--config", config], tmp_path / "holder.log")
    await asyncio.to_thread(holder.start, lambda: is_listening(port))
    upstream.misbehave("/manifests/", hold, times=1)
    url = f"http://127.0.0.1:{port}/v2/{NAME}/manifests/1"
    try:
        async with replica(tmp_path / "a", upstream, server.url, timeout="50ms") as proxy, aiohttp.ClientSession() as session:
            held = asyncio.create_task(session.get(url))
            await hold.reached.wait()
            holder.tell(signal.SIGSTOP)
            answer = await pulled(proxy)
            assert answer.status == 200
            holder.tell(signal.SIGCONT)
            hold.event.set()
            async with await held as response:
                assert (response.status, await response.read()) == (200, answer.body)
    finally:
        holder.tell(signal.SIGCONT)
        await asyncio.to_thread(holder.stop)
    assert len(upstream.issued) <= 2
    assert len([entry for entry in upstream.ledger if entry.kind == "manifests" and entry.status == 200]) <= 2


async def test_s17_what_upstream_deleted_does_not_come_back_through_redis(
    upstream: FakeRegistry, server: RedisServer, tmp_path: Path
) -> None:
    """Redis says what a tag means, never that a repository holds it: a replica that has not seen the bytes asks upstream for them."""
    async with replica(tmp_path / "a", upstream, server.url) as one, replica(tmp_path / "b", upstream, server.url) as other:
        digest = (await pulled(one)).headers["Docker-Content-Digest"]
        upstream.repositories[NAME].manifests.clear()
        upstream.repositories[NAME].tags.clear()
        answers = [await pulled(other), await other.ask(f"/v2/{NAME}/manifests/{digest}?ns=docker.io")]
    assert [answer.status for answer in answers] == [404, 404]


async def test_p05_a_miss_waits_for_redis_a_fifth_of_a_second_at_most(upstream: FakeRegistry, server: RedisServer, tmp_path: Path) -> None:
    """However slow it is: so many calls that the answer waits for, so long each; what is written is written behind it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"MONITOR\r\n")
    async with replica(tmp_path / "a", upstream, server.url) as proxy:
        assert (await pulled(proxy)).status == 200
    heard = (await reader.read(1_000_000)).decode("latin-1").upper()
    writer.close()
    waited_for = [line for line in heard.splitlines() if '"GETRANGE"' in line or '"NX"' in line]
    assert len(waited_for) * TIMEOUT <= 0.2
    assert len(waited_for) == 4, "a turn and a look for the tag, and for the token"


async def test_p05_pulls_go_on_with_a_slow_redis(upstream: FakeRegistry, server: RedisServer, tmp_path: Path) -> None:
    async with Relay("127.0.0.1", server.port) as relay:
        relay.delay = 10_000.0  # whoever waits for it does not come to the end of the test
        async with replica(tmp_path / "a", upstream, f"redis://127.0.0.1:{relay.port}", fresh_for="0s", timeout="50ms") as proxy:
            assert {(await pulled(proxy)).status for _ in range(5)} == {200}


TROUBLES: list[tuple[str, Callable[[RedisServer], None]]] = [("stopped", RedisServer.stop), ("paused", RedisServer.pause)]


@pytest.mark.parametrize("trouble", [trouble for _, trouble in TROUBLES], ids=[name for name, _ in TROUBLES])
async def test_p05_pulls_go_on_without_redis(
    upstream: FakeRegistry, server: RedisServer, tmp_path: Path, trouble: Callable[[RedisServer], None]
) -> None:
    async with replica(tmp_path / "a", upstream, server.url, fresh_for="0s", timeout="50ms") as proxy:
        assert (await pulled(proxy)).status == 200
        await asyncio.to_thread(trouble, server)
        try:
            for _ in range(20):
                assert (await pulled(proxy)).status == 200
        finally:
            if trouble is RedisServer.pause:
                server.go_on()
        assert "regproxy_redis_errors_total" in await proxy.metrics()


async def test_p05_a_start_without_redis_serves(upstream: FakeRegistry, tmp_path: Path) -> None:
    async with replica(tmp_path / "a", upstream, f"redis://127.0.0.1:{free_port()}", timeout="50ms") as proxy:
        assert (await pulled(proxy)).status == 200
