"""A disk that is slow for the server alone: what needs no disk goes on; by row."""

import asyncio
import os
from pathlib import Path

import aiohttp

from regproxy.oci.digest import Digest
from regproxy.storage.blob_files import path_of
from tests.fakes.registry import FakeRegistry
from tests.fakes.served import Served
from tests.fakes.strace import injecting

NAME = "library/app"
WARM, COLD = os.urandom(1_000_000), os.urandom(5_000_000)


async def _warmed(root: Path, upstream: FakeRegistry, session: aiohttp.ClientSession) -> str:
    """Fill a store with one image, by a server whose disk is well, and give the path of its layer."""
    upstream.add_image(NAME, "1", [WARM])
    blob = f"blobs/{upstream.add_blob(NAME, WARM)}"
    served = Served(root, upstream)
    async with served.running(session):
        for path in ("manifests/1", blob):
            await served.pull(session, NAME, path)
        while await served.outcome(session, NAME, blob) != "hit":
            pass
    return blob


async def test_d23_hits_do_not_wait_for_writes(upstream: FakeRegistry, tmp_path: Path) -> None:
    """Every write 0.2 s, every fsync 5 s: the hits are over before the first fsync is."""
    async with aiohttp.ClientSession() as session:
        warm = await _warmed(tmp_path / "store", upstream, session)
        cold = upstream.add_blob(NAME, COLD)
        slow = injecting(pwrite64="delay_enter=200000", fsync="delay_enter=5000000")
        served = Served(tmp_path / "store", upstream, *slow)
        async with served.running(session):
            assert await served.pull(session, NAME, f"blobs/{cold}") == COLD
            for _ in range(100):
                assert await served.outcome(session, NAME, warm) == "hit"
            assert await served.is_healthy(session)
            assert not path_of(served.root, cold).exists()


async def test_d23_a_cold_manifest_does_not_wait_for_the_disk(upstream: FakeRegistry, tmp_path: Path) -> None:
    """Every fsync 3 s, of which a file needs two: it is answered before the first is over, and kept behind its answer."""
    async with aiohttp.ClientSession() as session:
        await _warmed(tmp_path / "store", upstream, session)
        by_tag, by_digest = (upstream.add_image(NAME, tag, [tag.encode()]).digest for tag in ("2", "3"))
        served = Served(tmp_path / "store", upstream, *injecting(fsync="delay_enter=3000000"))
        async with served.running(session):
            for target, digest in (("2", by_tag), (str(by_digest), by_digest)):
                assert Digest.of(await served.pull(session, NAME, f"manifests/{target}")) == digest
                assert not path_of(served.root, digest).exists()
            async with asyncio.timeout(300):
                for target, digest in (("2", by_tag), (str(by_digest), by_digest)):
                    while not path_of(served.root, digest).exists():  # noqa: ASYNC110 -- another process is watched
                        await asyncio.sleep(0.05)
                    while await served.outcome(session, NAME, f"manifests/{target}") != "hit":
                        pass
