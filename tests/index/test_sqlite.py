"""What the index promises: it survives restarts, and losing it costs questions only."""

import asyncio
import contextlib
import itertools
import random
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from regproxy.index.sqlite import SqliteIndex
from regproxy.oci.descriptor import Descriptor
from regproxy.oci.digest import Digest
from regproxy.oci.reference import Reference, Repository, Tag
from regproxy.policy.freezing import Freeze
from regproxy.policy.freshness import TagRecord
from regproxy.ports import Kind, StoreError

NGINX = Repository("docker.io", "library/nginx")
OTHER = Repository("docker.io", "library/other")
DESCRIPTOR = Descriptor("application/vnd.oci.image.manifest.v1+json", Digest.of(b"manifest"), 8)
REFERENCE = Reference(NGINX, Tag("1.27"))


@pytest.fixture
async def index(tmp_path: Path) -> AsyncIterator[SqliteIndex]:
    index = await SqliteIndex.open(tmp_path / "index.db")
    yield index
    await index.close()


async def test_a_record_survives_a_restart(tmp_path: Path) -> None:
    index = await SqliteIndex.open(tmp_path / "index.db")
    await index.put_tag(REFERENCE, TagRecord(DESCRIPTOR, 123.5))
    await index.put(Kind.MANIFEST, NGINX, DESCRIPTOR)
    await index.close()
    again = await SqliteIndex.open(tmp_path / "index.db")
    assert await again.tag(REFERENCE) == TagRecord(DESCRIPTOR, 123.5)
    assert await again.held(Kind.MANIFEST, NGINX, DESCRIPTOR.digest) == DESCRIPTOR
    await again.close()


async def test_content_is_held_by_those_it_was_put_for_and_known_to_all(index: SqliteIndex) -> None:
    await index.put(Kind.BLOB, NGINX, DESCRIPTOR)
    assert await index.held(Kind.BLOB, NGINX, DESCRIPTOR.digest) == DESCRIPTOR
    assert await index.held(Kind.BLOB, OTHER, DESCRIPTOR.digest) is None
    assert await index.held(Kind.MANIFEST, NGINX, DESCRIPTOR.digest) is None
    assert await index.known(Kind.BLOB, DESCRIPTOR.digest) == DESCRIPTOR


async def test_n12_03_the_last_media_type_of_a_digest_stays(index: SqliteIndex) -> None:
    """What earlier versions recorded may be a sender's; what is put now was read from the body."""
    await index.put(Kind.MANIFEST, NGINX, Descriptor("application/json", DESCRIPTOR.digest, 8))
    await index.put(Kind.MANIFEST, OTHER, DESCRIPTOR)
    assert await index.held(Kind.MANIFEST, OTHER, DESCRIPTOR.digest) == DESCRIPTOR


async def test_a_dropped_tag_is_unknown(index: SqliteIndex) -> None:
    await index.put_tag(REFERENCE, TagRecord(DESCRIPTOR, 1.0))
    await index.drop_tag(REFERENCE)
    assert await index.tag(REFERENCE) is None


async def test_listings_are_kept_and_replaced(index: SqliteIndex) -> None:
    assert await index.listing("tags a") is None
    await index.put_listing("tags a", b"1")
    await index.put_listing("tags a", b"2")
    assert await index.listing("tags a") == b"2"


async def test_n12_14_listings_take_no_more_of_the_disk_than_they_may(tmp_path: Path) -> None:
    times = itertools.count(1.0)
    index = await SqliteIndex.open(tmp_path / "index.db", lambda: next(times), listing_bytes=100_000)
    try:
        bodies = {f"tags {number}": random.Random(number).randbytes(20_000) for number in range(20)}
        for key, body in bodies.items():
            await index.put_listing(key, body)
        found = [key for key, body in bodies.items() if await index.listing(key) == body]
        assert found == list(bodies)[-4:]
        await index.put_listing("tags large", random.Random(0).randbytes(60_000))
        assert await index.listing("tags large") is None
        await index.put_listing("tags dense", b'"tag",' * 100_000)
        assert await index.listing("tags dense") == b'"tag",' * 100_000
        assert await index.listing("tags 19") == bodies["tags 19"]
    finally:
        await index.close()


@pytest.mark.parametrize("damage", [b"this is no database at all, and long enough" * 200, b"SQLite format 3\x00" + b"\xff" * 5000])
async def test_a_damaged_index_is_put_aside_and_begun_anew(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "index.db"
    path.write_bytes(damage)
    index = await SqliteIndex.open(path)
    await index.put_tag(REFERENCE, TagRecord(DESCRIPTOR, 1.0))
    assert await index.tag(REFERENCE) is not None
    await index.close()
    assert _put_aside(tmp_path) == [damage]


def _put_aside(root: Path) -> list[bytes]:
    return [path.read_bytes() for path in root.glob("index.damaged-*")]


async def _pinned_and_frozen(path: Path) -> None:
    index = await SqliteIndex.open(path)
    await index.put(Kind.MANIFEST, NGINX, DESCRIPTOR)
    await index.put_tag(REFERENCE, TagRecord(DESCRIPTOR, 1.0))
    await index.ledger().pin(DESCRIPTOR.digest, pinned=True)
    await index.put_freeze(Freeze("docker.io/library/*"))
    await index.close()


async def test_what_operators_want_outlives_a_lost_index(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "index.db"
    await _pinned_and_frozen(path)
    path.unlink()
    index = await SqliteIndex.open(path)
    assert await index.freezes() == [Freeze("docker.io/library/*")]
    assert await index.tag(REFERENCE) is None
    await index.put(Kind.MANIFEST, NGINX, DESCRIPTOR)
    assert [image.is_pinned for image in await index.ledger().images()] == [True]
    await index.close()
    assert [(record.levelname, record.msg) for record in caplog.records] == [("WARNING", "database missing: created a new one")]


async def test_lost_pins_and_freezes_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "index.db"
    await _pinned_and_frozen(path)
    (tmp_path / "operators.db").write_bytes(b"no database" * 1000)
    index = await SqliteIndex.open(path)
    assert await index.tag(REFERENCE) == TagRecord(DESCRIPTOR, 1.0)
    assert await index.freezes() == []
    await index.close()
    (record,) = caplog.records
    assert "pinned and frozen again" in str(record.__dict__)


async def test_damage_in_the_middle_costs_questions_until_the_next_start_and_then_nothing(tmp_path: Path) -> None:
    """Too large to be looked through at every start, it is found when it is used."""
    path = tmp_path / "index.db"
    index = await SqliteIndex.open(path)
    async with index._db.transaction():
        rows: list[tuple[str, bytes]] = [(f"key {number}", bytes(3000)) for number in range(3000)]
        await index._db.execute_many("INSERT INTO listings VALUES (?, ?, 0)", list(rows))
    await index.close()
    with path.open("r+b") as file:
        file.seek(4 * 1024 * 1024)
        file.write(b"\xff" * 2 * 1024 * 1024)
    index = await SqliteIndex.open(path)
    found = await asyncio.gather(*(index.listing(key) for key, _ in rows), return_exceptions=True)
    assert StoreError in {type(each) for each in found}
    await index.close()
    index = await SqliteIndex.open(path)
    assert [await index.listing(key) for key, _ in rows[::100]] == [None] * 30
    await index.close()


async def test_troubles_of_the_database_are_troubles_of_the_store(index: SqliteIndex) -> None:
    await index._db.execute("DROP TABLE tags")
    with pytest.raises(StoreError, match="index"):
        await index.put_tag(REFERENCE, TagRecord(DESCRIPTOR, 1.0))
    await index.put(Kind.BLOB, NGINX, DESCRIPTOR)
    assert await index.known(Kind.BLOB, DESCRIPTOR.digest) == DESCRIPTOR


async def _said(index: SqliteIndex) -> int:
    await index.put_tag(REFERENCE, TagRecord(DESCRIPTOR, 1.0))
    await index.put(Kind.MANIFEST, NGINX, DESCRIPTOR)
    assert await index.held(Kind.MANIFEST, NGINX, DESCRIPTOR.digest) is not None
    return index.generation


async def _drop_the_tag(index: SqliteIndex) -> None:
    await index.drop_tag(REFERENCE)


async def _move_the_tag(index: SqliteIndex) -> None:
    await index.put_tag(REFERENCE, TagRecord(Descriptor(DESCRIPTOR.media_type, Digest.of(b"another"), 7), 2.0))


async def _freeze(index: SqliteIndex) -> None:
    await index.put_freeze(Freeze("docker.io/*"))


async def _thaw(index: SqliteIndex) -> None:
    await index.drop_freeze("docker.io/*")


async def _forget(index: SqliteIndex) -> None:
    await index.ledger().forget(DESCRIPTOR.digest)


async def _lose(index: SqliteIndex) -> None:
    await index.ledger().lose([DESCRIPTOR.digest])


@pytest.mark.parametrize("revoke", [_drop_the_tag, _move_the_tag, _freeze, _thaw, _forget, _lose])
async def test_whatever_revokes_an_answer_ends_the_generation_for_every_process(
    index: SqliteIndex, tmp_path: Path, revoke: Callable[[SqliteIndex], Awaitable[None]]
) -> None:
    await _said(index)
    other = await SqliteIndex.open(tmp_path / "index.db")
    before = index.generation
    await revoke(other)
    assert index.generation != before
    await other.close()


async def _renew_the_tag(index: SqliteIndex) -> None:
    await index.put_tag(REFERENCE, TagRecord(DESCRIPTOR, 2.0))


async def _add_content(index: SqliteIndex) -> None:
    await index.put(Kind.BLOB, OTHER, DESCRIPTOR)


async def _add_a_tag(index: SqliteIndex) -> None:
    await index.put_tag(Reference(OTHER, Tag("new")), TagRecord(DESCRIPTOR, 2.0))


@pytest.mark.parametrize("add", [_renew_the_tag, _add_content, _add_a_tag])
async def test_what_only_adds_ends_no_generation(index: SqliteIndex, add: Callable[[SqliteIndex], Awaitable[None]]) -> None:
    """Otherwise every miss would make every worker ask the index again."""
    before = await _said(index)
    await add(index)
    assert index.generation == before


async def test_what_another_process_removed_is_held_by_nobody(index: SqliteIndex, tmp_path: Path) -> None:
    await _said(index)
    other = await SqliteIndex.open(tmp_path / "index.db")
    assert await other.held(Kind.MANIFEST, NGINX, DESCRIPTOR.digest) == DESCRIPTOR
    await index.ledger().forget(DESCRIPTOR.digest)
    assert await other.held(Kind.MANIFEST, NGINX, DESCRIPTOR.digest) is None
    await other.close()


async def test_n12_06_a_closed_repository_holds_nothing_and_lists_nothing(index: SqliteIndex) -> None:
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


async def test_n12_06_an_index_of_an_earlier_version_learns_it(tmp_path: Path) -> None:
    index = await SqliteIndex.open(tmp_path / "index.db")
    await index.put(Kind.BLOB, NGINX, DESCRIPTOR)
    await index.close()
    with contextlib.closing(sqlite3.connect(tmp_path / "index.db")) as file:
        file.execute("DROP TABLE access")
    again = await SqliteIndex.open(tmp_path / "index.db")
    assert await again.held(Kind.BLOB, NGINX, DESCRIPTOR.digest) == DESCRIPTOR
    assert not (await again.access(NGINX)).is_closed
    await again.close()
