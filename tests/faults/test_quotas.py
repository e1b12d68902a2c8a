"""One client of many has no more than its quota, whatever it does, and others do not notice it."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import aiohttp
import pytest
import yaml

from regproxy.clients.quota_table import alone
from regproxy.config import Address, load
from regproxy.oci.digest import Digest
from regproxy.policy.clients.client_quota import ClientQuota
from regproxy.server import sockets
from regproxy.web.app import registry_port
from regproxy.web.clients.metering import Meters
from regproxy.wiring import assembled
from tests.fakes.registry import FakeRegistry
from tests.faults.test_login import basic, hashed
from tests.rig import LOOPBACK, PATIENT, get, raw
from tests.web.clients.slept import Slept

KIB = 1024
RATE = 256 * KIB
LAYER = random.Random(5).randbytes(10 * RATE)
BIG = random.Random(6).randbytes(16 * 1024 * KIB)  # more than sockets hold
NAME = "library/app"
UNREAD = f"/v2/{NAME}/blobs/{Digest.of(BIG)}"
BLOB = f"/v2/{NAME}/blobs/{Digest.of(LAYER)}"
MANIFEST = f"/v2/{NAME}/manifests/1"
PASSWORD = "canary of all"
ANN, BOB, OPS = (basic(user, PASSWORD) for user in ("ann", "bob", "ops"))
LIMIT = 8


@dataclass
class Metered:
    """A regproxy whose clients have quotas of a time that nobody waits for."""

    port: int
    slept: Slept
    meters: Meters
    session: aiohttp.ClientSession

    async def ask(self, path: str, who: str, session: aiohttp.ClientSession | None = None, **headers: str) -> tuple[int, bytes, str]:
        url = f"http://{LOOPBACK}:{self.port}{path}"
        async with (session or self.session).get(url, headers={"Authorization": who, **headers}) as response:
            return response.status, await response.read(), response.headers.get("Retry-After", "")

    @property
    def waited(self) -> float:
        return self.slept.now - self.slept.began


@asynccontextmanager
async def metered(tmp_path: Path, quotas: Sequence[ClientQuota], **settings: object) -> AsyncIterator[Metered]:
    users = tmp_path / "htpasswd"
    users.write_text("".join(f"{user}:{hashed(PASSWORD)}\n" for user in ("ann", "bob", "ops")))
    async with AsyncExitStack() as stack:
        upstream = await stack.enter_async_context(FakeRegistry())
        upstream.add_image(NAME, "1", [LAYER, BIG])
        document = {
            "listen": f"{LOOPBACK}:5000",
            "store": {"root": str(tmp_path / "store"), "high_watermark": "100%"},
            "timeouts": PATIENT,
            "clients": {"htpasswd": str(users)},
            "upstreams": {"docker.io": {"hosts": [{"url": upstream.url}], "tags": [{"fresh_for": "1h"}]}},
            **settings,
        }
        (tmp_path / "regproxy.yaml").write_text(yaml.safe_dump(document))
        configured, slept = load(tmp_path / "regproxy.yaml", {}), Slept()
        proxy = await stack.enter_async_context(assembled(configured))
        meters = Meters(quotas, alone(), slept.clock, slept.sleep)
        handlers = replace(proxy.handlers, entrance=replace(proxy.handlers.entrance, meters=meters))
        [listeners] = sockets.opened(Address(LOOPBACK, 0))
        await stack.enter_async_context(registry_port(handlers, listeners, 1.0))
        connector = aiohttp.TCPConnector(limit=0)
        session = await stack.enter_async_context(aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=None)))
        yield Metered(sockets.port(listeners), slept, meters, session)


@pytest.fixture
async def proxy(tmp_path: Path) -> AsyncIterator[Metered]:
    async with metered(tmp_path, [ClientQuota("ops"), ClientQuota("*", rate=RATE, connections=LIMIT)]) as running:
        yield running


async def test_n16_05_bytes_are_slowed_down_wherever_they_come_from(proxy: Metered) -> None:
    """A download, the store, ranges of it, and what is repeated from memory."""
    assert (await proxy.ask(BLOB, ANN))[:2] == (200, LAYER)
    assert proxy.waited == pytest.approx(9, abs=0.01)
    assert (await proxy.ask(BLOB, ANN))[:2] == (200, LAYER)
    assert proxy.waited == pytest.approx(19, abs=0.01)
    assert (await proxy.ask(BLOB, ANN, Range=f"bytes=0-{RATE - 1}"))[1] == LAYER[:RATE]
    assert (await proxy.ask(BLOB, ANN, Range=f"bytes=0-9,20-{RATE + 19}"))[0] == 206
    assert proxy.waited == pytest.approx(21, abs=0.01)
    sizes = [len((await proxy.ask(MANIFEST, ANN))[1]) for _ in range(100)]
    assert proxy.waited - 21 >= 0.9 * sum(sizes) / RATE
    before = proxy.waited
    assert [(await proxy.ask(BLOB, OPS))[1], (await proxy.ask(MANIFEST, OPS))[0], (await proxy.ask(MANIFEST, OPS))[0]] == [LAYER, 200, 200]
    assert proxy.waited == before, "who has no quota waits for nothing"


async def test_n16_05_two_clients_of_one_name_share_and_another_has_its_own(proxy: Metered) -> None:
    await asyncio.gather(proxy.ask(BLOB, ANN), proxy.ask(BLOB, ANN))
    assert proxy.waited == pytest.approx(19, abs=0.01)
    assert (await proxy.ask(BLOB, BOB, Range=f"bytes=0-{RATE - 1}"))[0] == 206
    assert proxy.waited == pytest.approx(19, abs=0.01)


async def test_n16_05_who_would_wait_for_long_is_told_when_to_come_again(proxy: Metered) -> None:
    meter = proxy.meters.of("ann", "")
    assert meter is not None
    meter.charge(31 * RATE)
    for path in (BLOB, MANIFEST, f"/v2/{NAME}/tags/list", "/v2/"):
        status, body, retry_after = await proxy.ask(path, ANN)
        [error] = json.loads(body)["errors"]
        assert (status, retry_after, error["code"]) == (429, "30", "TOOMANYREQUESTS")
        assert "client ann has used up its 262144 bytes per second" in error["message"]
    assert (await proxy.ask(MANIFEST, BOB))[0] == 200
    proxy.slept.now += 30
    assert (await proxy.ask(MANIFEST, ANN))[0] == 200


async def test_n16_05_a_client_with_a_thousand_connections_has_as_many_as_it_may(proxy: Metered) -> None:
    await proxy.ask(BLOB, OPS)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        found = await asyncio.gather(*(proxy.ask(BLOB, ANN, session) for _ in range(200)))
        statuses = [status for status, _, _ in found]
        assert set(statuses) == {200, 429}
        assert {(json.loads(body)["errors"][0]["code"], retry) for status, body, retry in found if status == 429} == {
            ("TOOMANYREQUESTS", "5")
        }
        assert all(body == LAYER for status, body, _ in found if status == 200)
        assert statuses.count(200) >= LIMIT
        assert (await proxy.ask(MANIFEST, BOB))[0] == 200
        assert (await proxy.ask(MANIFEST, ANN, session))[0] == 200, "those that are idle count for those that are not"


async def test_n16_05_who_does_not_read_keeps_nobody_waiting_but_itself(proxy: Metered) -> None:
    await proxy.ask(UNREAD, OPS)
    request = get(UNREAD, Authorization=ANN).replace(b"Connection: close\r\n", b"")
    silent = [await asyncio.open_connection(LOOPBACK, proxy.port) for _ in range(LIMIT)]
    try:
        for reader, writer in silent:
            writer.write(request)
            assert (await reader.readexactly(12)).endswith(b"200")
        assert (await proxy.ask(MANIFEST, ANN))[0] == 429, "its own connections are all there are"
        assert (await proxy.ask(BLOB, BOB))[1] == LAYER
        assert (await proxy.ask(BLOB, OPS))[1] == LAYER
    finally:
        for _, writer in silent:
            writer.transport.abort()
    async with asyncio.timeout(300):
        while (await proxy.ask(MANIFEST, ANN))[0] != 200:  # noqa: ASYNC110  a server tells nobody
            await asyncio.sleep(0.01)


async def test_n16_05_a_connection_is_of_whom_it_asks_for_now(proxy: Metered) -> None:
    """As those of a cache in front are: they count for the client of their last request."""
    session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1))
    async with session:
        for who in (ANN, BOB, OPS, ANN):
            assert (await proxy.ask(MANIFEST, who, session))[0] == 200
    answer = await raw(proxy.port, get(MANIFEST))
    assert answer.received.startswith(b"HTTP/1.1 401")
