"""The mass restart of bench/storm.py, small: what upstream is asked does not depend on how many nodes there are."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from bench.storm import cost, secrets_of, shelved, storm
from tests.fakes.deeds import Delay
from tests.fakes.registry import FakeRegistry
from tests.fleet.redis_server import RedisServer
from tests.rig import Rig, rig

IMAGES, NODES, BLOBS = 5, 30, 4


@pytest.fixture
async def upstream() -> AsyncIterator[FakeRegistry]:
    async with FakeRegistry("password") as registry:
        registry.misbehave("/token", Delay(0.2))
        yield registry


@asynccontextmanager
async def replica(root: Path, upstream: FakeRegistry, **settings: object) -> AsyncIterator[Rig]:
    host = {"url": upstream.url, "credentials": {"username": upstream.username, "password": upstream.password}}
    patient = {"connect": "20s", "headers": "20s", "silence": "20s"}
    async with rig(root, {"reg.example": {"hosts": [host]}}, timeouts=patient, **settings) as proxy:
        yield proxy


async def test_a_storm_is_one_calm_client_to_upstream(upstream: FakeRegistry, tmp_path: Path) -> None:
    images = shelved(upstream, IMAGES, 10_000)
    async with replica(tmp_path / "store", upstream) as proxy:
        found = cost(upstream, await storm([proxy.port], images, NODES))
    assert (found.failures, found.tokens, found.manifest_gets, found.blob_gets) == ((), IMAGES, IMAGES, IMAGES * BLOBS)
    assert found.unauthorized <= IMAGES


@pytest.mark.parametrize(("access", "secrets"), [("proven", 1), ("distinct", NODES)])
async def test_n16_03_a_storm_of_proofs_is_one_for_each_credential_and_repository(
    upstream: FakeRegistry, tmp_path: Path, access: str, secrets: int
) -> None:
    """And what a credential has proven is fetched with one of them, as often as without proofs."""
    images, shown = shelved(upstream, IMAGES, 10_000), secrets_of(upstream, access, NODES)
    patient = {"connect": "20s", "headers": "20s", "silence": "20s"}
    proven = {"hosts": [{"url": upstream.url}], "access": "proven"}
    async with rig(tmp_path / "store", {"reg.example": proven}, timeouts=patient) as proxy:
        found = cost(upstream, await storm([proxy.port], images, NODES, shown=shown))
    assert found.failures == ()
    assert found.tokens <= IMAGES * secrets
    assert found.manifest_heads <= IMAGES * secrets
    assert (found.manifest_gets, found.blob_gets) == (IMAGES, IMAGES * BLOBS)


async def test_tokens_that_end_in_the_middle_are_renewed_once_each(upstream: FakeRegistry, tmp_path: Path) -> None:
    images = shelved(upstream, IMAGES, 10_000)
    async with replica(tmp_path / "store", upstream) as proxy:
        storming = asyncio.create_task(storm([proxy.port], images, NODES))
        for image in images:  # one that is refused before its first use is a refusal, and no token that ended
            await upstream.seen(f"/{image.name}/blobs/")
        upstream.expire_tokens()
        found = cost(upstream, await storming)
    assert (found.failures, found.blob_gets) == ((), IMAGES * BLOBS)
    assert found.tokens <= 2 * IMAGES


async def test_two_replicas_restarted_in_the_middle_are_one_calm_client(upstream: FakeRegistry, tmp_path: Path) -> None:
    """Redis has a minute here, as a busy machine is too slow for the 50 ms that it has otherwise."""
    server = RedisServer(tmp_path)
    await asyncio.to_thread(server.start)
    images = shelved(upstream, IMAGES, 10_000)
    failures: list[str] = []
    for half in (0, 1):
        async with AsyncExitStack() as stack:
            redis = {"url": server.url, "key": "canary-key-1f0123456789abcdef0123456789abcdef", "timeout": "60s"}
            replicas = [await stack.enter_async_context(replica(tmp_path / name, upstream, redis=redis)) for name in "ab"]
            failures += await storm([each.port for each in replicas], images, NODES // 2, seed=half)
    await asyncio.to_thread(server.stop)
    found = cost(upstream, failures)
    assert found.failures == ()
    assert found.tokens <= IMAGES
    assert found.manifest_gets <= 2 * IMAGES, "each replica fetches a manifest for itself, and once"
    assert found.blob_gets <= 2 * IMAGES * BLOBS
