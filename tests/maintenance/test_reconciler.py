"""The index and the files agree again by themselves."""

import json
import os
from collections.abc import Collection
from pathlib import Path

import pytest

from regproxy.fill.fills import BLOB_TYPE
from regproxy.index.ledger import SqliteLedger
from regproxy.index.sqlite import SqliteIndex
from regproxy.maintenance.reconciler import Reconciler, described
from regproxy.maintenance.scrubber import Scrubber
from regproxy.oci.descriptor import Descriptor
from regproxy.oci.digest import Digest
from regproxy.oci.manifest import OCI_MANIFEST
from regproxy.ports import Kind
from regproxy.storage.blob_files import path_of
from regproxy.storage.disk import DiskStore
from tests.maintenance.kept import LAYER, Kept

CONFIG = json.dumps({"architecture": "amd64", "config": {"Env": []}, "rootfs": {"type": "layers", "diff_ids": []}}).encode()


def _described(body: bytes) -> dict[str, object]:
    return {"mediaType": BLOB_TYPE, "digest": str(Digest.of(body)), "size": len(body)}


MANIFEST = json.dumps({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": _described(CONFIG), "layers": [_described(LAYER)]}).encode()


async def test_d26_files_without_a_record_are_adopted_with_what_they_need(kept: Kept) -> None:
    """A crash between the file and its record, or a lost index: the manifest keeps its layers from being swept."""
    for body in (LAYER, CONFIG, MANIFEST):
        await kept.store.write(Digest.of(body), body)
    assert await kept.take_stock() == (3, 0, 0)
    assert await kept.index.known(Kind.MANIFEST, Digest.of(MANIFEST)) == Descriptor(OCI_MANIFEST, Digest.of(MANIFEST), len(MANIFEST))
    assert [candidate.digest for candidate in await kept.ledger.idlest(10, often=False)] == [Digest.of(MANIFEST)]
    assert (await kept.ledger.census()).size == 3 * 8192 - 2 * 4096
    assert await kept.take_stock() == (0, 0, 0)


async def test_what_is_written_meanwhile_is_left_to_whoever_writes_it(kept: Kept) -> None:
    await kept.store.write(Digest.of(LAYER), LAYER)
    taking = Reconciler(kept.store, kept.ledger)
    await taking.run()
    assert taking.adopted == 0


async def test_b8_records_without_a_file_are_dropped(kept: Kept) -> None:
    """Trusting the record is how quay answers 404 for what upstream has (43b8c054)."""
    digest = await kept.put(LAYER)
    path_of(kept.root, digest).unlink()
    assert await kept.take_stock() == (0, 1, 0)
    assert await kept.index.known(Kind.BLOB, digest) is None
    assert kept.store.quota.held == 0


async def test_a_file_of_another_size_is_put_aside(kept: Kept) -> None:
    digest = await kept.put(LAYER)
    os.truncate(path_of(kept.root, digest), 10)
    assert await kept.take_stock() == (0, 1, 1)
    assert not path_of(kept.root, digest).exists()


async def test_what_nobody_recorded_and_is_wrong_is_not_adopted(kept: Kept) -> None:
    await kept.store.write(Digest.of(LAYER), LAYER)
    kept.damage(Digest.of(LAYER))
    assert await kept.take_stock() == (0, 0, 1)
    assert not path_of(kept.root, Digest.of(LAYER)).exists()


async def test_after_an_unclean_stop_what_was_written_lately_is_read_again(kept: Kept) -> None:
    digest = await kept.put(LAYER)
    kept.damage(digest)
    assert await kept.take_stock() == (0, 0, 0), "it stopped in order: the scrubber's time will come"
    again = DiskStore(kept.root)
    await again.prepare()
    taking = Reconciler(again, kept.ledger)
    await taking.run()
    assert taking.damaged == 1
    again.close()


async def test_an_unclean_stop_is_remembered_until_stock_was_taken(tmp_path: Path) -> None:
    """A look into the store by a command in between must not make it forgotten."""
    crashed = DiskStore(tmp_path)
    await crashed.prepare()
    for _ in range(2):
        looking = DiskStore(tmp_path)
        await looking.prepare()
        looking.close()
        assert looking.interrupted_at is not None
    index = await SqliteIndex.open(tmp_path / "index.db")
    mending = DiskStore(tmp_path)
    await mending.prepare()
    await Reconciler(mending, index.ledger()).run()
    mending.close()
    await index.close()
    again = DiskStore(tmp_path)
    await again.prepare()
    assert again.interrupted_at is None
    for store in (crashed, again):
        store.close()


async def test_d19_unknown_files_are_left_alone(kept: Kept) -> None:
    await kept.put(LAYER)
    strange = [
        kept.root / "README",
        path_of(kept.root, Digest.of(LAYER)).with_name("notes.txt"),
        kept.root / "blobs" / "sha256" / "lost+found",
    ]
    for path in strange:
        path.write_text("mine")
    again = DiskStore(kept.root)
    await again.prepare()
    assert await kept.take_stock() == (0, 0, 0)
    assert [path.read_text() for path in strange] == ["mine"] * 3
    again.close()


def test_an_images_config_is_no_manifest() -> None:
    """It is JSON with a `config` in it, which is all that tells a manifest without a media type."""
    assert described(Digest.of(CONFIG), len(CONFIG), CONFIG).kind is Kind.BLOB
    assert described(Digest.of(MANIFEST), len(MANIFEST), MANIFEST).kind is Kind.MANIFEST


class Meanwhile(SqliteLedger):
    """Books out of which a record is dropped while a pull brings its content again: before that, around it, or after."""

    def __init__(self, kept: Kept, moment: str) -> None:
        """Keep the same books."""
        super().__init__(kept.ledger._db, kept.ledger._generation)
        self._kept = kept
        self._moment = moment

    async def lose(self, digests: Collection[Digest]) -> int:
        if self._moment != "after":
            await self._kept.store.write(Digest.of(LAYER), LAYER)
        if self._moment == "before":
            await self._kept.record(LAYER)
        freed = await super().lose(digests)
        if self._moment == "after":
            await self._kept.store.write(Digest.of(LAYER), LAYER)
        if self._moment != "before":
            await self._kept.record(LAYER)
        return freed


@pytest.mark.parametrize("moment", ["before", "around", "after"])
@pytest.mark.parametrize("finder", ["reconciliation", "scrubber"])
async def test_what_a_pull_brings_while_its_old_record_is_dropped_stays_recorded_and_counted(kept: Kept, finder: str, moment: str) -> None:
    """A file without a record would take room that nobody sweeps, and the room and the books would differ by it."""
    digest = await kept.put(LAYER)
    ledger = Meanwhile(kept, moment)
    if finder == "reconciliation":
        path_of(kept.root, digest).unlink()
        await Reconciler(kept.store, ledger).run()
    else:
        kept.damage(digest)
        await Scrubber(kept.store, ledger, 60.0, lambda: 0.0).scrub(digest.hex[:2], ends_at=0.0)
    assert await kept.index.known(Kind.BLOB, digest) is not None
    assert kept.store.counted == (await kept.ledger.census()).size == 8192
