"""Damage is found before a client finds it."""

import asyncio

import pytest

from regproxy.index.ledger import SqliteLedger
from regproxy.index.sqlite import SqliteIndex
from regproxy.maintenance.scrubber import Scrubber
from regproxy.oci.descriptor import Descriptor
from regproxy.oci.digest import Digest
from regproxy.oci.reference import Repository
from regproxy.ports import Kind, StoredBlob
from regproxy.storage.blob_files import path_of
from regproxy.storage.disk import DiskStore
from tests.maintenance.kept import LAYER, Kept

NGINX = Repository("docker.io", "library/nginx")


async def test_d07_a_flipped_bit_is_found_and_is_a_miss_from_then_on(kept: Kept) -> None:
    digest = await kept.put(LAYER)
    kept.damage(digest)
    await Scrubber(kept.store, kept.ledger, 60.0, lambda: 0.0).scrub(digest.hex[:2], ends_at=0.0)
    assert await kept.store.open(digest, len(LAYER)) is None
    assert await kept.index.known(Kind.BLOB, digest) is None
    assert [path.is_file() for path in (kept.root / "quarantine").iterdir()] == [True]
    assert kept.store.quota.held == 0


class Swept(DiskStore):
    """A store that is swept after somebody looked what lies in it."""

    ledger: SqliteLedger

    async def list_shard(self, shard: str) -> list[StoredBlob]:
        found = await super().list_shard(shard)
        for each in found:
            for digest in await self.ledger.forget(each.digest):
                await self.remove(digest)
        return found


async def test_what_was_swept_meanwhile_is_no_damage(kept: Kept, caplog: pytest.LogCaptureFixture) -> None:
    digest = await kept.put(LAYER)
    store = Swept(kept.root)
    store.ledger = kept.ledger
    await Scrubber(store, kept.ledger, 60.0, lambda: 0.0).scrub(digest.hex[:2], ends_at=0.0)
    store.close()
    assert not path_of(kept.root, digest).exists()
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == []


class PulledAgain(Swept):
    """One in which what was swept is pulled again, its record first, while it is looked for."""

    async def verify(self, digest: Digest) -> int | None:
        try:
            return await super().verify(digest)
        finally:
            await self.index.put(Kind.BLOB, NGINX, Descriptor("a/b", digest, len(LAYER)))

    index: SqliteIndex


async def test_what_was_swept_and_is_pulled_again_keeps_its_record(kept: Kept, caplog: pytest.LogCaptureFixture) -> None:
    digest = await kept.put(LAYER)
    store = PulledAgain(kept.root)
    store.ledger, store.index = kept.ledger, kept.index
    await Scrubber(store, kept.ledger, 60.0, lambda: 0.0).scrub(digest.hex[:2], ends_at=0.0)
    store.close()
    assert await kept.index.known(Kind.BLOB, digest) is not None
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == []


async def test_the_scrubber_goes_on_for_ever(kept: Kept) -> None:
    """Every shard has 0.4 ms in this one's world: it is through with the store before this test has looked twice."""
    digest = await kept.put(LAYER)
    kept.damage(digest)
    loop = asyncio.get_running_loop()
    scrubbing = asyncio.create_task(Scrubber(kept.store, kept.ledger, 0.1, loop.time).run())
    async with asyncio.timeout(300):
        while await kept.index.known(Kind.BLOB, digest) is not None:  # noqa: ASYNC110 -- the index is what is watched
            await asyncio.sleep(0)
    scrubbing.cancel()
    await asyncio.gather(scrubbing, return_exceptions=True)
