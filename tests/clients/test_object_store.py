"""A real S3 server behind the disk: versitygw, a gateway over a directory."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest

from regproxy.objects.bucket import Bucket, opened
from regproxy.oci.digest import Digest
from regproxy.policy.store import objects
from tests.behind_kit import REGION, digests, replica
from tests.fakes.registry import FakeRegistry
from tests.free_port import free_port
from tests.rig import LOOPBACK

from .go_programs import go_program
from .processes import Daemon, is_listening

NAME = "library/app"
LAYERS = [random.Random(number).randbytes(size) for number, size in enumerate((30_000_000, 1_200_000, 10))]
DEAD = "http://127.0.0.1:9"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """Run one, with a bucket, and tell where."""
    program, port = go_program("versitygw"), free_port()
    (tmp_path / "s3" / "bucket").mkdir(parents=True)
    secrets = {"ROOT_ACCESS_KEY": REGION["AWS_ACCESS_KEY_ID"], "ROOT_SECRET_KEY": REGION["AWS_SECRET_ACCESS_KEY"]}
    daemon = Daemon([program, "--port", f"{LOOPBACK}:{port}", "posix", tmp_path / "s3"], tmp_path / "versitygw.txt", secrets)
    daemon.start(lambda: is_listening(port))
    yield f"http://{LOOPBACK}:{port}"
    daemon.stop()


async def test_n17_04_a_real_server_keeps_images_that_a_new_replica_serves(server: str, upstream: FakeRegistry, tmp_path: Path) -> None:
    upstream.add_image(NAME, "1", LAYERS)
    async with replica(tmp_path / "one", upstream.url, server) as proxy:
        manifest = await proxy.ask(f"/v2/{NAME}/manifests/1")
        for digest in digests(manifest):
            assert (await proxy.ask(f"/v2/{NAME}/blobs/{digest}")).status == 200
        await proxy.settled()
        async with proxy.session.post(f"http://{LOOPBACK}:{proxy.admin_port}/api/v1/store/push", json={}) as response:
            assert '"result"' in (await response.text()).splitlines()[-1]
    async with replica(tmp_path / "two", DEAD, server) as proxy:
        assert (await proxy.ask(f"/v2/{NAME}/manifests/1")).body == manifest.body
        answers = await asyncio.gather(*(proxy.ask(f"/v2/{NAME}/blobs/{Digest.of(layer)}") for layer in LAYERS))
        assert [answer.body for answer in answers] == LAYERS


async def test_n17_04_a_real_server_keeps_what_the_port_promises(server: str) -> None:
    """Creation by one of many, uploads that break off, a list, a URL that opens one object."""
    store: Bucket = opened("s3://bucket/prefix", server)

    async def broken() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield LAYERS[0][:8_000_000]
        raise RuntimeError("broken")

    assert [await store.create("leases/1", b"x") for _ in range(2)] == [True, False]
    with pytest.raises(RuntimeError, match="broken"):
        await store.upload("blobs/broken", broken())
    assert await store.head("blobs/broken") is None
    path = objects.blob(Digest.of(LAYERS[1]))
    await store.put(path, LAYERS[1])
    assert [(each.path, each.size) async for page in store.list("blobs/") for each in page] == [(path, len(LAYERS[1]))]
    url = await store.sign(path, 60)
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        assert await response.read() == LAYERS[1]
    await store.delete(path)
    assert await store.get(path, 10_000_000) is None
