"""What an operator looks through: pages of images."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from regproxy.oci.digest import Digest
from regproxy.pull.usage import Usage
from regproxy.storage.blob_files import path_of
from tests.fakes.registry import FakeRegistry
from tests.rig import Rig, rig
from tests.web.admin.page_store import HOSTILE, filled


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


async def test_n15_14_what_an_image_says_of_platforms_is_read_once(proxy: Rig, upstream: FakeRegistry, tmp_path: Path) -> None:
    """Its bytes may be gone by then."""
    await filled(proxy, upstream, count=1)
    before = await page(proxy)
    assert all(image["platforms"] for image in before["images"])
    for image in before["images"]:
        path_of(tmp_path / "store", Digest.parse(image["digest"])).unlink()
    assert await page(proxy) == before


@pytest.mark.parametrize("query", ["limit=0", "limit=201", "limit=x", "offset=-1", "offset=99999999999999999999", f"search={'a' * 301}"])
async def test_n15_14_a_page_is_bounded(proxy: Rig, query: str) -> None:
    assert (await proxy.admin(f"store/page?{query}"))[0] == 400
