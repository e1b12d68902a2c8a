"""A tag that an operator wants looked up is looked up."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.fakes.registry import FakeRegistry
from tests.rig import Rig, rig
from tests.web.admin.page_store import pull


@pytest.fixture
async def proxy(tmp_path: Path, upstream: FakeRegistry) -> AsyncIterator[Rig]:
    async with rig(tmp_path / "store", {"docker.io": upstream.url}) as running:
        yield running


async def test_n15_14_a_refresh_asks_upstream_though_the_tag_is_fresh_and_leaves_what_is_frozen(proxy: Rig, upstream: FakeRegistry) -> None:
    name = "docker.io/library/app:1"
    upstream.add_image("library/app", "1", [b"old"])
    await pull(proxy, "library/app", "1")
    new = upstream.add_image("library/app", "1", [b"new"])
    assert (await proxy.ask("/v2/library/app/manifests/1")).headers["Docker-Content-Digest"] != str(new.digest)
    assert await proxy.admin("refresh", "POST", {"image": name}) == (200, {"name": name, "digest": str(new.digest), "outcome": "miss"})
    assert (await proxy.ask("/v2/library/app/manifests/1")).headers["Docker-Content-Digest"] == str(new.digest)
    assert (await proxy.admin("freezes", "POST", {"pattern": name}))[0] == 201
    upstream.add_image("library/app", "1", [b"newer"])
    assert (await proxy.admin("refresh", "POST", {"image": name}))[0] == 409
    assert (await proxy.admin("refresh", "POST", {"image": "docker.io/library/app:none"}))[0] == 404


async def test_n18_01_a_refresh_brings_in_nothing_that_is_denied(upstream: FakeRegistry, tmp_path: Path) -> None:
    upstream.add_image("library/app", "1", [b"layer"])
    async with rig(tmp_path / "store", {"docker.io": {"hosts": [{"url": upstream.url}], "deny": ["library/app*"]}}) as proxy:
        assert (await proxy.admin("refresh", "POST", {"image": "docker.io/library/app:1"}))[0] == 403
        _, job = await proxy.admin("warm", "POST", {"images": ["app:1"]})
        async with asyncio.timeout(60):
            while (await proxy.admin(f"warm/{job['id']}"))[1]["state"] != "failed":  # noqa: ASYNC110  the admin API tells nobody
                await asyncio.sleep(0.02)
    assert upstream.count("GET", "manifests") + upstream.count("HEAD", "manifests") == 0
