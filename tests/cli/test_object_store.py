"""`regproxy store push`, `status` and `check`, in the directory itself while no server runs."""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml

from tests.behind_kit import behind, pull
from tests.fakes.bucket import FakeBucket
from tests.fakes.registry import FakeRegistry
from tests.free_port import free_port
from tests.rig import LOOPBACK, rig

NAME = "library/app"


@pytest.fixture
async def bucket() -> AsyncIterator[FakeBucket]:
    async with FakeBucket() as found:
        yield found


async def test_n17_04_a_store_is_pushed_looked_at_and_checked_without_a_server(
    upstream: FakeRegistry, bucket: FakeBucket, tmp_path: Path
) -> None:
    upstream.add_image(NAME, "1", [b"layer"])
    async with rig(tmp_path / "store", {"docker.io": upstream.url}) as proxy:
        assert (await pull(proxy, NAME, "1"))[0] == [200, 200, 200]
        await proxy.settled()
    config = tmp_path / "regproxy.yaml"
    store = {"root": str(tmp_path / "store"), **behind(bucket.url)}
    config.write_text(yaml.safe_dump({"store": store, "admin_listen": f"{LOOPBACK}:{free_port()}"}))
    status, said = await regproxy(config, "push")
    assert (status, "s3://bucket/regproxy" in said) == (0, True)
    assert (len(bucket.keys("/_/blob/")), len(bucket.keys("/_/manifest/")), len(bucket.keys("tags/"))) == (2, 1, 1)
    status, said = await regproxy(config, "status")
    assert (status, "3 blobs and manifests on the disk" in said, "0 entries wait" in said) == (0, True, True)
    bucket.objects.pop(next(key for key in bucket.keys("/blobs/") if bucket.objects[key] == b"layer"))
    status, said = await regproxy(config, "check")
    assert (status, "1 missing" in said) == (1, True)


async def regproxy(config: Path, command: str) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "regproxy", "store", command, "--config", str(config)), stdout=asyncio.subprocess.PIPE
    )
    said, _ = await process.communicate()
    return process.returncode, said.decode()
