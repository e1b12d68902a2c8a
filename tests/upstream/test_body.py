"""Bodies: what their end leaves behind."""

import asyncio
import os
from pathlib import Path

import yaml

from regproxy.config import load
from regproxy.fleet.memory import NullFleet
from regproxy.oci.reference import Repository
from regproxy.upstream.registry import UpstreamRegistry
from tests.fakes.registry import FakeRegistry

APP = Repository("docker.io", "library/app")
BLOB = os.urandom(600_000)  # more than is read ahead
SILENCE = 0.2  # seconds


async def test_a_connection_may_idle_for_longer_than_a_body_may_be_silent(tmp_path: Path) -> None:
    """The timer of aiohttp begins anew where the end of a body is read after a pause, and then ends the next answer on that connection."""
    path = tmp_path / "regproxy.yaml"
    async with FakeRegistry() as upstream:
        hosts = {"docker.io": {"hosts": [{"url": upstream.url}]}}
        path.write_text(yaml.safe_dump({"timeouts": {"silence": f"{SILENCE}s"}, "upstreams": hosts}))
        settings = load(path, {})
        registry = UpstreamRegistry(settings.upstreams[0], settings.timeouts, NullFleet())
        digest = upstream.add_blob(APP.name, BLOB)
        try:
            for _ in range(2):
                async with registry.blob(APP, digest) as body:
                    await asyncio.sleep(SILENCE)  # what is on its way arrives, and we are busy
                    assert b"".join([chunk async for chunk in body.chunks()]) == BLOB
                await asyncio.sleep(2 * SILENCE)
        finally:
            await registry.close()
