"""What the page asks for beside images: downloads in progress, and who may change what."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from regproxy.ports import DownloadStatus
from regproxy.web.admin.status_api import merged
from tests.fakes.registry import FakeRegistry
from tests.rig import LOOPBACK, Rig, rig
from tests.web.admin.page_store import BLOB, stalled


@pytest.fixture
async def proxy(tmp_path: Path, upstream: FakeRegistry) -> AsyncIterator[Rig]:
    async with rig(tmp_path / "store", {"docker.io": upstream.url}) as running:
        yield running


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


def test_n15_14_a_blob_that_workers_share_is_one_download() -> None:
    leader = DownloadStatus("docker.io/library/app", "sha256:a", 30, 100, 1, 2.5)
    follower = DownloadStatus("docker.io/team/app", "sha256:a", 20, None, 3, 1.0)
    elsewhere = DownloadStatus("quay.io/team/app", "sha256:a", 5, None, 0, 0.5)
    other = DownloadStatus("docker.io/library/app", "sha256:b", 7, 9, 2, 0.1)
    one = DownloadStatus("docker.io/library/app", "sha256:a", 30, 100, 4, 2.5)
    assert merged([leader, follower, elsewhere, other]) == [one, elsewhere, other]
    assert merged([follower, leader]) == [one]
    assert merged([]) == []


async def test_n15_14_whoever_may_change_nothing_is_told_why(proxy: Rig) -> None:
    free = {"may_read": True, "may_change": True, "reason": None, "name": None, "takes_tokens": False}
    assert await proxy.admin("access") == (200, free)
    async with proxy.session.get(
        f"http://{LOOPBACK}:{proxy.admin_port}/api/v1/access", headers={"X-Forwarded-For": "192.0.2.1"}
    ) as response:
        document = await response.json()
    assert (document["may_read"], document["may_change"]) == (False, False)
    assert "admin_tokens" in document["reason"]
