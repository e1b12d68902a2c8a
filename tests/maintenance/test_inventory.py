"""What an operator asks of a store at once."""

import pytest

from regproxy.maintenance.evictor import Evictor
from regproxy.maintenance.images import UnknownImage
from regproxy.maintenance.inventory import Inventory, Staying
from regproxy.oci.descriptor import Descriptor
from regproxy.oci.digest import Digest
from regproxy.oci.reference import Reference, Repository, Tag
from regproxy.policy.freezing import Freeze
from regproxy.policy.freshness import TagRecord
from regproxy.policy.routing import Host, Routes, Upstream
from regproxy.ports import Kind
from regproxy.pull.usage import Usage
from regproxy.wiring import inventory_of
from tests.maintenance.kept import LAYER, Kept

ROUTES = Routes([Upstream("docker.io", (Host("https://registry-1.docker.io"),))], "docker.io")
APP = Repository("docker.io", "library/app")
MANIFEST = b"manifest"
NAME = "docker.io/library/app:1"


@pytest.fixture
async def inventory(kept: Kept) -> Inventory:
    """Hold one image of one layer."""
    await kept.put(LAYER)
    await kept.store.write(Digest.of(MANIFEST), MANIFEST)
    descriptor = Descriptor("application/vnd.oci.image.manifest.v1+json", Digest.of(MANIFEST), len(MANIFEST))
    await kept.index.put(Kind.MANIFEST, APP, descriptor, [Digest.of(LAYER)])
    await kept.index.put_tag(Reference(APP, Tag("1")), TagRecord(descriptor, 1.0))
    evictor = Evictor(kept.store, kept.ledger, Usage(kept.ledger, lambda: 1.0), lambda: 1.0)
    return inventory_of(kept.store, kept.index, evictor, ROUTES)


async def test_all_images_are_listed_with_the_totals(inventory: Inventory) -> None:
    listed = await inventory.images()
    assert (listed["count"], listed["bytes"]) == (2, 4096 + 8192)
    images = listed["images"]
    assert isinstance(images, list)
    (image,) = images
    assert (image["names"], image["digest"]) == ((NAME,), str(Digest.of(MANIFEST)))


async def test_what_a_removal_would_free_is_told_before_it_is_done(inventory: Inventory, kept: Kept) -> None:
    told = await inventory.remove("app:1", dry_run=True)
    assert told == {"names": (NAME,), "digest": str(Digest.of(MANIFEST)), "bytes": len(MANIFEST) + len(LAYER)}
    assert await kept.store.read(Digest.of(LAYER), len(LAYER)) == LAYER
    assert (await inventory.remove("app:1"))["names"] == (NAME,)
    assert await kept.store.read(Digest.of(LAYER), len(LAYER)) is None
    assert (await inventory.images())["images"] == []


async def test_what_is_pinned_or_frozen_is_not_removed(inventory: Inventory, kept: Kept) -> None:
    await inventory.pin("app:1", pinned=True)
    with pytest.raises(Staying, match="app:1 is pinned: unpin it first"):
        await inventory.remove("app:1")
    await inventory.pin("app:1", pinned=False)
    await kept.index.put_freeze(Freeze(NAME))
    with pytest.raises(Staying, match="app:1 is frozen: unfreeze it first"):
        await inventory.remove("app:1")


async def test_what_was_backed_up_is_restored_and_counted(inventory: Inventory, kept: Kept) -> None:
    await inventory.pin("app:1", pinned=True)
    document = await inventory.backup()
    await inventory.pin("app:1", pinned=False)
    assert await inventory.restore(document) == {"pins": 1, "freezes": 0, "tags": 0}
    assert [image.is_pinned for image in await kept.ledger.images()] == [True]


async def test_n17_14_what_another_member_pinned_is_unpinned_by_its_digest_where_the_store_does_not_hold_it(
    inventory: Inventory, kept: Kept
) -> None:
    elsewhere = Digest.of(b"an image of another member")
    await kept.ledger.pin(elsewhere, pinned=True)
    answer = await inventory.pin(str(elsewhere), pinned=False)
    assert answer == {"names": (), "digest": str(elsewhere), "pinned": False}
    assert (await kept.ledger.decisions()).pins == ()
    for pinned in (True, False):
        with pytest.raises(UnknownImage):
            await inventory.pin(str(elsewhere), pinned=pinned)
    with pytest.raises(UnknownImage):
        await inventory.pin("app:2", pinned=False)
