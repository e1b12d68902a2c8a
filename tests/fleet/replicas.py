"""Replicas at one Redis, and what they share."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from regproxy.fleet.redis_fleet import RedisFleet
from regproxy.oci.descriptor import Descriptor
from regproxy.oci.digest import Digest
from regproxy.oci.reference import Reference, Repository, Tag
from regproxy.policy.credential import Secret
from regproxy.policy.freshness import TagRecord
from regproxy.policy.upstream.tokens import Token
from tests.fleet.redis_server import RedisServer

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


@asynccontextmanager
async def watched(server: RedisServer) -> AsyncIterator[asyncio.StreamReader]:
    """Hear everything that Redis is told."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"MONITOR\r\n")
    yield reader
    writer.close()


async def until_back(fleet: RedisFleet) -> None:
    """Wait until the connection is open again."""
    async with asyncio.timeout(300):
        await fleet.connection.settled()
