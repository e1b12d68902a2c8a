"""Files of the index that are damaged, lost or of another version: it costs questions."""

import contextlib
import sqlite3
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

DESCRIPTOR = Descriptor("application/vnd.oci.image.manifest.v1+json", Digest.of(b"manifest"), 8)

REFERENCE = Reference(NGINX, Tag("1.27"))


@pytest.mark.parametrize("damage", [b"this is no database at all, and long enough" * 200, b"SQLite format 3\x00" + b"\xff" * 5000])
async def test_a_damaged_index_is_put_aside_and_begun_anew(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "index.db"
    path.write_bytes(damage)
    index = await SqliteIndex.open(path)
    await index.put_tag(REFERENCE, TagRecord(DESCRIPTOR, 1.0))
    assert await index.tag(REFERENCE) is not None
    await index.close()
    assert _put_aside(tmp_path) == [damage]


async def test_n15_07_a_start_that_was_killed_while_it_put_an_index_aside_is_gone_on_with(tmp_path: Path) -> None:
    """The file had gone, and its mark had not: no later start came to an end."""
    (tmp_path / "index.damaged").touch()
    index = await SqliteIndex.open(tmp_path / "index.db")
    await index.put_tag(REFERENCE, TagRecord(DESCRIPTOR, 1.0))
    await index.close()
    index = await SqliteIndex.open(tmp_path / "index.db")
    assert await index.tag(REFERENCE) is not None
    await index.close()


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


async def _outcome(index: SqliteIndex, key: str) -> object:
    try:
        return await index.listing(key)
    except StoreError as error:
        return str(error)


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
    found = [await _outcome(index, key) for key, _ in rows[::10]]  # one after the other: a slow machine is no damage
    assert "the index failed: database disk image is malformed" in found
    await index.close()
    index = await SqliteIndex.open(path)
    assert [await index.listing(key) for key, _ in rows[::100]] == [None] * 30
    await index.close()


async def test_n18_06_operators_decisions_of_an_earlier_version_are_found_by_digest(tmp_path: Path) -> None:
    await (await SqliteIndex.open(tmp_path / "index.db")).close()
    with contextlib.closing(sqlite3.connect(tmp_path / "operators.db")) as file:
        file.execute("DROP INDEX meanings_by_digest")
    await (await SqliteIndex.open(tmp_path / "index.db")).close()
    with contextlib.closing(sqlite3.connect(tmp_path / "operators.db")) as file:
        assert file.execute("SELECT count(*) FROM sqlite_master WHERE name = 'meanings_by_digest'").fetchone() == (1,)


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
