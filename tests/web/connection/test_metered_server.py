"""What is repeated from memory is charged to the client whose it is, and to nobody without a quota."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from regproxy.web.connection.metered_server import MeteredServer
from regproxy.web.connection.server import Connection
from tests.fakes.registry import FakeRegistry
from tests.rig import LOOPBACK, rig
from tests.web.connection.watched import until

REQUEST = b"GET /v2/library/app/manifests/1 HTTP/1.1\r\nHost: proxy\r\n\r\n"


@asynccontextmanager
async def asked_twice(tmp_path: Path, match: str) -> AsyncIterator[tuple[MeteredServer, Connection]]:
    async with FakeRegistry() as upstream:
        upstream.add_image("library/app", "1", [b"layer"])
        lasting = {"hosts": [{"url": upstream.url}], "tags": [{"fresh_for": "1h"}]}
        quotas = [{"match": match, "rate": "64KiB", "connections": 1}]
        async with rig(tmp_path / "store", {"docker.io": lasting}, quotas=quotas) as proxy:
            reader, writer = await asyncio.open_connection(LOOPBACK, proxy.port)
            for _ in range(2):
                writer.write(REQUEST)
                head = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0]))
            [connection] = proxy.server.connections
            assert isinstance(connection, Connection)
            assert isinstance(proxy.server, MeteredServer)
            await until(connection.is_waiting)
            yield proxy.server, connection
            writer.close()


@pytest.mark.parametrize("match", ["192.0.2.*", "127.*"], ids=["no quota", "quota"])
async def test_n16_05_who_may_be_sent_something_is_answered_from_memory(tmp_path: Path, match: str) -> None:
    async with asked_twice(tmp_path, match) as (server, connection):
        assert (connection.meter is not None) == match.startswith("127")
        answer = server.repeated(connection, REQUEST)
        assert answer is not None
        assert answer.written.startswith(b"HTTP/1.1 200")


async def test_n16_05_who_has_to_wait_or_is_not_counted_goes_the_long_way(tmp_path: Path) -> None:
    async with asked_twice(tmp_path, "127.*") as (server, connection):
        meter = connection.meter
        assert meter is not None
        assert server.repeated(connection, REQUEST.replace(b"proxy", b"other")) is None
        connection.meter = None
        assert server.repeated(connection, REQUEST) is None
        connection.meter = meter
        meter.charge(1024 * 1024)
        assert server.repeated(connection, REQUEST) is None
