"""What every adapter of the port Index promises."""

import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from regproxy.behind.holders import Holders
from regproxy.behind.index import BackedIndex
from regproxy.best_effort import BestEffortIndex
from regproxy.index.sqlite import SqliteIndex
from regproxy.oci.descriptor import Descriptor
from regproxy.oci.digest import Digest
from regproxy.oci.reference import Reference, Repository, Tag
from regproxy.policy.freezing import Freeze
from regproxy.policy.freshness import TagRecord
from regproxy.policy.tag_history import PastMeaning
from regproxy.ports import Index, Kind
from tests.behind_kit import NoStore, tier

NGINX = Repository("docker.io", "library/nginx")

OTHER = Repository("docker.io", "library/other")

DESCRIPTOR = Descriptor("application/vnd.oci.image.manifest.v1+json", Digest.of(b"manifest"), 8)

REFERENCE = Reference(NGINX, Tag("1.27"))


ADAPTERS: dict[str, Callable[[SqliteIndex], Index]] = {
    "SQLite": lambda index: index,
    "best effort": BestEffortIndex,
    "before an object store": lambda index: BackedIndex(index, Holders(tier(), index), NoStore()),
}


@pytest.fixture(params=ADAPTERS.values(), ids=list(ADAPTERS))
async def index(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Index]:
    opened = await SqliteIndex.open(tmp_path / "index.db")
    yield request.param(opened)
    await opened.close()


async def test_content_is_held_by_those_it_was_put_for_and_known_to_all(index: Index) -> None:
    assert await index.put(Kind.BLOB, NGINX, DESCRIPTOR)
    assert await index.held(Kind.BLOB, NGINX, DESCRIPTOR.digest) == DESCRIPTOR
    assert await index.held(Kind.BLOB, OTHER, DESCRIPTOR.digest) is None
    assert await index.held(Kind.MANIFEST, NGINX, DESCRIPTOR.digest) is None
    assert await index.known(Kind.BLOB, DESCRIPTOR.digest) == DESCRIPTOR


async def test_n12_03_the_last_media_type_of_a_digest_stays(index: Index) -> None:
    """What earlier versions recorded may be a sender's; what is put now was read from the body."""
    await index.put(Kind.MANIFEST, NGINX, Descriptor("application/json", DESCRIPTOR.digest, 8))
    await index.put(Kind.MANIFEST, OTHER, DESCRIPTOR)
    assert await index.held(Kind.MANIFEST, OTHER, DESCRIPTOR.digest) == DESCRIPTOR


async def test_a_dropped_tag_is_unknown(index: Index) -> None:
    await index.put_tag(REFERENCE, TagRecord(DESCRIPTOR, 1.0))
    await index.drop_tag(REFERENCE)
    assert await index.tag(REFERENCE) is None


async def test_d34_what_was_said_earlier_and_is_recorded_later_is_what_a_tag_meant_before(index: Index) -> None:
    """Workers record behind their answers, and a disk may be slow for one of them."""
    moved = Descriptor(DESCRIPTOR.media_type, Digest.of(b"moved"), 5)
    await index.put_tag(REFERENCE, TagRecord(moved, 200.0))
    before = index.generation
    await index.put_tag(REFERENCE, TagRecord(DESCRIPTOR, 100.0))
    assert await index.tag(REFERENCE) == TagRecord(moved, 200.0)
    assert list(await index.meanings(REFERENCE)) == [PastMeaning(DESCRIPTOR.digest, 100.0), PastMeaning(moved.digest, 200.0)]
    assert index.generation == before


async def test_d34_what_is_on_record_from_the_future_is_replaced(index: Index) -> None:
    """A clock was set back."""
    moved = Descriptor(DESCRIPTOR.media_type, Digest.of(b"moved"), 5)
    await index.put_tag(REFERENCE, TagRecord(moved, time.time() + 3600))
    now = time.time()
    await index.put_tag(REFERENCE, TagRecord(DESCRIPTOR, now))
    assert await index.tag(REFERENCE) == TagRecord(DESCRIPTOR, now)


async def test_listings_are_kept_and_replaced(index: Index) -> None:
    assert await index.listing("tags a") is None
    await index.put_listing("tags a", b"1")
    await index.put_listing("tags a", b"2")
    assert await index.listing("tags a") == b"2"


async def test_n12_06_a_closed_repository_holds_nothing_and_lists_nothing(index: Index) -> None:
    for repository in (NGINX, OTHER):
        await index.put(Kind.BLOB, repository, DESCRIPTOR)
        for key in (f"tags {repository}", f"tags {repository}?n=1", f"referrers {repository} {DESCRIPTOR.digest}"):
            await index.put_listing(key, b"list")
    await index.put_listing(f"tags {NGINX}2?n=1", b"list")
    before = index.generation
    assert await index.put_refused(NGINX, "403")
    assert index.generation != before, "what other processes remember of it ends"
    assert not await index.put_refused(NGINX, "403"), "it is closed already"
    assert await index.held(Kind.BLOB, NGINX, DESCRIPTOR.digest) is None
    assert await index.held(Kind.BLOB, OTHER, DESCRIPTOR.digest) == DESCRIPTOR
    left = [f"tags {NGINX}2?n=1", f"tags {OTHER}", f"tags {OTHER}?n=1", f"referrers {OTHER} {DESCRIPTOR.digest}"]
    gone = [f"tags {NGINX}", f"tags {NGINX}?n=1", f"referrers {NGINX} {DESCRIPTOR.digest}"]
    assert [await index.listing(key) for key in left + gone] == [b"list"] * 4 + [None] * 3
    assert await index.put_confirmed(NGINX, (await index.access(NGINX)).refused_at + 1)
    assert await index.held(Kind.BLOB, NGINX, DESCRIPTOR.digest) == DESCRIPTOR


async def test_what_only_adds_ends_no_generation_and_what_revokes_does(index: Index) -> None:
    await index.put_tag(REFERENCE, TagRecord(DESCRIPTOR, 1.0))
    before = index.generation
    await index.put_tag(REFERENCE, TagRecord(DESCRIPTOR, 2.0))
    await index.put(Kind.BLOB, OTHER, DESCRIPTOR)
    assert index.generation == before
    await index.drop_tag(REFERENCE)
    assert index.generation != before


async def test_an_operators_freeze_is_there_until_it_is_dropped(index: Index) -> None:
    freeze = Freeze("docker.io/library/*")
    await index.put_freeze(freeze)
    assert list(await index.freezes()) == [freeze]
    assert [await index.drop_freeze(freeze.pattern) for _ in range(2)] == [True, False]
    assert list(await index.freezes()) == []


async def test_what_an_operator_imports_is_open_and_listed(index: Index) -> None:
    assert not (await index.access(NGINX)).is_imported
    await index.put(Kind.MANIFEST, NGINX, DESCRIPTOR)
    await index.put_imported(NGINX)
    await index.put_tag(REFERENCE, TagRecord(DESCRIPTOR, 1.0))
    assert (await index.access(NGINX)).is_imported
    assert list(await index.manifests_of(NGINX, 5)) == [DESCRIPTOR.digest]
    assert list(await index.repositories("docker.io", "", 5)) == ["library/nginx"]
    assert await index.digest_named(str(REFERENCE)) == DESCRIPTOR.digest
