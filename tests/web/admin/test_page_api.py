"""What the admin API tells the page: pages of images, downloads in progress, who may change what, and tags that are looked up again."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from regproxy.pull.usage import Usage
from tests.fakes.registry import FakeRegistry
from tests.rig import LOOPBACK, Rig, rig

from .page_store import BLOB, HOSTILE, filled, pull, stalled


@pytest.fixture
async def proxy(tmp_path: Path, upstream: FakeRegistry) -> AsyncIterator[Rig]:
    async with rig(tmp_path / "store", {"docker.io": upstream.url}) as running:
        yield running


async def page(proxy: Rig, query: str = "") -> dict[str, Any]:
    status, document = await proxy.admin(f"store/page?{query}")
    assert status == 200
    found: dict[str, Any] = document
    return found


async def test_n15_14_images_come_in_pages_and_are_searched_by_tag_repository_and_digest(proxy: Rig, upstream: FakeRegistry) -> None:
    await filled(proxy, upstream, count=4)
    everything = await page(proxy)
    assert everything["found"] == 6
    first, rest = await page(proxy, "limit=4"), await page(proxy, "limit=4&offset=4")
    assert first["images"] + rest["images"] == everything["images"]
    assert first["found"] == 6
    (one,) = (await page(proxy, "search=app:1.3"))["images"]
    assert [tag["name"] for tag in one["tags"]] == ["docker.io/library/app:1.3"]
    assert one["platforms"] == ["linux/amd64"]
    assert (await page(proxy, f"search={one['digest']}"))["images"] == [one]
    assert (await page(proxy, "search=team/"))["found"] == 2
    assert (await page(proxy, "search=%25")) == {"found": 0, "offset": 0, "images": []}


async def test_n15_14_an_image_tells_its_platforms_pulls_and_whether_it_is_stale(upstream: FakeRegistry, tmp_path: Path) -> None:
    now = 1_000_000.0
    async with rig(tmp_path / "store", {"docker.io": upstream.url}, lambda: now) as proxy:
        await filled(proxy, upstream, count=0)
        usage = Usage(proxy.ledger, lambda: now)
        fresh = {image["tags"][0]["name"].rpartition(":")[2]: image for image in (await page(proxy))["images"]}
        assert fresh["tool"]["platforms"] == ["linux/arm64/v8"]
        assert fresh["hostile"]["platforms"] == [f"{HOSTILE[:40]}/x"]
        assert not any(image["tags"][0]["is_stale"] for image in fresh.values())
        now += 301
        assert all(image["tags"][0]["is_stale"] for image in (await page(proxy))["images"])
        digest = (await proxy.ledger.images())[0].digest
        before = (await page(proxy, f"search={digest}"))["images"][0]["pulls"]
        for _ in range(3):
            usage.of_manifest(digest)
        await usage.record()
        assert (await page(proxy, f"search={digest}"))["images"][0]["pulls"] == before + 3


@pytest.mark.parametrize("query", ["limit=0", "limit=201", "limit=x", "offset=-1", "offset=99999999999999999999", f"search={'a' * 301}"])
async def test_n15_14_a_page_is_bounded(proxy: Rig, query: str) -> None:
    assert (await proxy.admin(f"store/page?{query}"))[0] == 400


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


async def test_n15_14_a_download_in_progress_is_listed_with_its_followers(proxy: Rig, upstream: FakeRegistry) -> None:
    path, stall = stalled(upstream)
    asking = [asyncio.create_task(proxy.ask(path)) for _ in range(2)]
    await stall.reached.wait()
    try:
        async with asyncio.timeout(60):
            while True:
                ((_, document)) = await proxy.admin("downloads")
                (found,) = document["downloads"]
                if found["written"] >= 2_000_000 and found["followers"] == 2:
                    break
                await asyncio.sleep(0)
    finally:
        stall.event.set()
    assert found["size"] == len(BLOB)
    assert found["repository"] == "docker.io/library/app"
    assert [(await each).status for each in asking] == [200, 200]
    await proxy.settled()
    assert await proxy.admin("downloads") == (200, {"downloads": []})


async def test_n15_14_whoever_may_change_nothing_is_told_why(proxy: Rig) -> None:
    assert await proxy.admin("access") == (200, {"may_change": True, "reason": None})
    async with proxy.session.get(
        f"http://{LOOPBACK}:{proxy.admin_port}/api/v1/access", headers={"X-Forwarded-For": "192.0.2.1"}
    ) as response:
        document = await response.json()
    assert not document["may_change"]
    assert "admin_writes" in document["reason"]
