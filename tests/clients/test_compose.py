"""docker-compose's profile `fleet`, as one starts it: three replicas, Redis, an S3 server, and nginx in front."""

import asyncio
import json
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from tests.docs.blocks import ROOT
from tests.fakes.registry import FakeRegistry

from .compose import Compose

REPLICAS = ("replica-1", "replica-2", "replica-3")
FRONT = 5080
NAME = "library/app"
MIB = 1024 * 1024
_ASK = "import sys, urllib.request as u; print(u.urlopen('http://127.0.0.1:5001' + sys.argv[1]).read().decode())"


@pytest.fixture
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="rp-", dir="/tmp"))
    yield made
    shutil.rmtree(made)


@pytest.fixture
async def services(folder: Path) -> AsyncIterator[Compose]:
    """Make a machine with docker and our images; nothing is started there yet."""
    compose = Compose(folder, "fleet")
    try:
        await asyncio.to_thread(compose.start)
        yield compose
    finally:
        await asyncio.to_thread(compose.stop)


def overrides(folder: Path, upstream: str) -> dict[str, object]:
    """Write the image's own configuration, with an upstream that can be reached, and how the replicas get it; and what runs Prometheus."""
    document = yaml.safe_load((ROOT / "config" / "docker.yaml").read_text())
    host = {"hosts": [{"url": upstream}], "private_networks": ["10.77.0.0/16"]}
    (folder / "regproxy.yaml").write_text(yaml.safe_dump({**document, "upstreams": {"docker.io": host}}))
    own = {
        "volumes": [f"{folder / 'regproxy.yaml'}:/etc/regproxy/regproxy.yaml:ro"],
        "environment": {"REGPROXY_CONFIG": "/etc/regproxy/regproxy.yaml"},
    }
    return {"services": {**dict.fromkeys(("regproxy", *REPLICAS), own), "prometheus": {"entrypoint": ["prometheus"]}}}


async def asked(services: Compose, replica: str, path: str) -> str:
    """Ask the admin port of a replica, in its container."""
    return await asyncio.to_thread(services.run, "exec", "-T", replica, "python3", "-c", _ASK, path)


async def fleet(services: Compose, replica: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(await asked(services, replica, "/api/v1/fleet"))
    return found


async def until(is_true: Callable[[], Awaitable[bool]]) -> None:
    """Wait for what nobody tells us of."""
    async with asyncio.timeout(300):
        while not await is_true():  # noqa: ASYNC110
            await asyncio.sleep(0.2)


async def pulled(url: str) -> bytes:
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session,
        session.get(url, allow_redirects=False) as response,
    ):
        assert response.status == 200, await response.text()
        return await response.read()


async def test_n17_11_one_command_starts_a_fleet_that_fetches_once_and_outlives_its_disks(services: Compose, folder: Path) -> None:
    """One machine for all of it: making one takes longer than what is asked of it."""
    outside, front = services.machine.outside, f"http://{services.machine.address}:{FRONT}"
    async with FakeRegistry(address=outside) as upstream:
        blob = os.urandom(12 * MIB)
        path = f"/v2/{NAME}/blobs/{upstream.add_blob(NAME, blob)}"
        services.override(overrides(folder, upstream.url))
        await asyncio.to_thread(services.run, "up", "--detach")

        async def are_all_members() -> bool:
            counts = [(await fleet(services, each))["fleet"]["counts"]["healthy"] for each in REPLICAS]
            return counts == [3, 3, 3]

        await until(are_all_members)
        assert await asyncio.gather(*(pulled(f"{front}{path}") for _ in range(6))) == [blob] * 6
        assert upstream.sent_blob_bytes() == len(blob), "each byte once for all replicas"

        async def is_each_asked() -> bool:
            await pulled(f"{front}{path}")
            return all(['endpoint="blobs"' in await asked(services, each, "/metrics") for each in REPLICAS])

        await until(is_each_asked)
        assert upstream.sent_blob_bytes() == len(blob)

        async def are_all_scraped() -> bool:
            words = ("promtool", "query", "instant", "http://127.0.0.1:9090", "sum(regproxy_fleet_members)")
            return " 9 @" in f"{await asyncio.to_thread(services.run, 'exec', '-T', 'prometheus', *words)} "

        await until(are_all_scraped)
        async with aiohttp.ClientSession() as session, session.get(f"{front}/fleet/v1/ping") as response:
            assert (response.status, response.headers["Server"]) == (404, "nginx")

        async def is_written() -> bool:
            return {(await fleet(services, each))["object_store"]["pending"] for each in REPLICAS} == {0}

        await until(is_written)
        await asyncio.to_thread(services.run, "kill", "replica-2")
        assert await asyncio.gather(*(pulled(f"{front}{path}") for _ in range(6))) == [blob] * 6, "nobody waits for who is gone"
        await upstream.stop()
        await asyncio.to_thread(services.run, "rm", "--force", "--stop", *REPLICAS)
        await asyncio.to_thread(services.docker, "volume", "rm", *(f"rp_content-{number}" for number in (1, 2, 3)))
        await asyncio.to_thread(services.run, "up", "--detach", "front")
        assert await asyncio.gather(*(pulled(f"{front}{path}") for _ in range(3))) == [blob] * 3, "the object store has it"
        keys = await asyncio.to_thread(services.run, "exec", "-T", "replica-1", "python3", "-c", "print(open('/keys/fleet').read())")
        logs = await asyncio.to_thread(services.run, "logs", "--no-color")
        assert keys.strip() not in logs
