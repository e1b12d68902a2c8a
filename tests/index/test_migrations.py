"""An upgrade from every version that ever wrote a store: what operators want survives, and what is newer is left alone."""

# ruff: noqa: S608  the scripts are ours
import contextlib
import logging
import sqlite3
from pathlib import Path

import pytest

from regproxy.index.schema import INDEX, OPERATORS
from regproxy.index.sqlite import SqliteIndex
from regproxy.oci.descriptor import Descriptor
from regproxy.oci.digest import Digest
from regproxy.oci.reference import Reference, Repository, Tag
from regproxy.policy.freezing import Freeze
from regproxy.policy.freshness import TagRecord
from regproxy.ports import Kind, StoreError

from . import schemas

NGINX = Repository("docker.io", "library/nginx")
REFERENCE = Reference(NGINX, Tag("1.27"))
MANIFEST = Descriptor("application/vnd.oci.image.manifest.v1+json", Digest.of(b"manifest"), 8192)
LAYER = Descriptor("application/octet-stream", Digest.of(b"layer"), 4096)
FROZEN = [Freeze("docker.io/library/*"), Freeze("docker.io/library/nginx:1.27", MANIFEST.digest)]

COMMON = f"""
INSERT INTO tags VALUES ('{REFERENCE}', '{MANIFEST.media_type}', '{MANIFEST.digest}', {MANIFEST.size}, 17.5);
INSERT INTO listings VALUES ('tags docker.io/library/nginx', x'00', 17.5);
"""
FREEZES = "".join(f"INSERT INTO freezes VALUES ('{each.pattern}', '{each.digest or ''}');" for each in FROZEN)
IN_0 = f"""
INSERT INTO content VALUES ('manifest', '{MANIFEST.digest}', '{MANIFEST.media_type}', {MANIFEST.size});
INSERT INTO content VALUES ('blob', '{LAYER.digest}', '{LAYER.media_type}', {LAYER.size});
INSERT INTO holders VALUES ('blob', '{LAYER.digest}', '{NGINX}');
"""
IN_2 = f"""
INSERT INTO content VALUES ('{MANIFEST.digest}', 'manifest', '{MANIFEST.media_type}', {MANIFEST.size}, 5.0, 1, 1);
INSERT INTO content VALUES ('{LAYER.digest}', 'blob', '{LAYER.media_type}', {LAYER.size}, 6.0, 0, 0);
INSERT INTO holders VALUES ('{LAYER.digest}', 'blob', '{NGINX}');
INSERT INTO children VALUES ('{MANIFEST.digest}', '{LAYER.digest}');
"""
IN_3 = IN_2.replace(", 5.0, 1, 1)", ", 5.0, 1)").replace(", 6.0, 0, 0)", ", 6.0, 0)")
PINS = f"INSERT INTO pins VALUES ('{MANIFEST.digest}');"

INDEXES = {
    "0": schemas.VERSION_0 + COMMON + FREEZES + IN_0,
    "2": schemas.VERSION_2 + COMMON + FREEZES + IN_2,
    "3, at first": schemas.VERSION_3_AT_FIRST + COMMON + IN_3,
    "3, with a catalog": schemas.VERSION_3_WITH_CATALOG + COMMON + IN_3,
    "3": schemas.VERSION_3 + COMMON + IN_3,
}


def _write(path: Path, script: str) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(f"BEGIN; {script} COMMIT;")


def _schema(path: Path) -> tuple[object, set[tuple[object, ...]]]:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        [(version,)] = connection.execute("PRAGMA user_version")
        return version, {
            (kind, name, " ".join(sql.split()))
            for kind, name, sql in connection.execute("SELECT type, name, sql FROM sqlite_master")
            if sql
        }


def store_of(root: Path, version: str) -> Path:
    """Write a store's databases as *version* did."""
    _write(root / "index.db", INDEXES[version])
    if version.startswith("3"):
        _write(root / "operators.db", schemas.OPERATORS_1 + FREEZES + PINS)
    return root / "index.db"


def _beside(root: Path, pattern: str) -> list[Path]:
    return list(root.glob(pattern))


@pytest.mark.parametrize("version", INDEXES)
async def test_n15_07_what_operators_and_tags_say_survives_from_every_version(
    tmp_path: Path, version: str, caplog: pytest.LogCaptureFixture
) -> None:
    index = await SqliteIndex.open(store_of(tmp_path, version))
    try:
        assert sorted(await index.freezes(), key=str) == sorted(FROZEN, key=str)
        assert await index.tag(REFERENCE) == TagRecord(MANIFEST, 17.5)
        if version != "0":  # there the files tell, for it did not know what lists what
            assert await index.held(Kind.BLOB, NGINX, LAYER.digest) == LAYER
            [image] = await index.ledger().images()
            assert (image.is_pinned, image.size) == (True, MANIFEST.size + LAYER.size)
            assert (await index.ledger().census()).count == 2
    finally:
        await index.close()
    assert [record.message for record in caplog.records if record.levelno >= logging.WARNING] == []
    assert _beside(tmp_path, "*.damaged*") == []


@pytest.mark.parametrize("version", INDEXES)
async def test_n15_07_an_upgraded_file_is_as_a_new_one(tmp_path: Path, version: str) -> None:
    (tmp_path / "new").mkdir()
    await (await SqliteIndex.open(tmp_path / "new" / "index.db")).close()
    await (await SqliteIndex.open(store_of(tmp_path, version))).close()
    for name in ("index.db", "operators.db"):
        (expected, tables), (found, upgraded) = _schema(tmp_path / "new" / name), _schema(tmp_path / name)
        assert (found, upgraded) == (expected, tables)
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("version", ["0", "2"])
async def test_n15_07_the_file_as_it_was_stays_beside_it(tmp_path: Path, version: str) -> None:
    path = store_of(tmp_path, version)
    before = _schema(path)
    await (await SqliteIndex.open(path)).close()
    assert _schema(tmp_path / f"index.version-{version}.db") == before
    assert (tmp_path / f"index.version-{version}.db").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("version", ["0", "2"])
async def test_n15_07_an_upgrade_that_was_cut_off_is_done_again(tmp_path: Path, version: str) -> None:
    """Between the two files, which are not committed as one; what an operator lifted since then stays as it is in the index."""
    path = store_of(tmp_path, version)
    _write(tmp_path / "operators.db", schemas.OPERATORS_1 + FREEZES)
    (tmp_path / f"index.version-{version}.unfinished").write_bytes(b"half a copy")
    index = await SqliteIndex.open(path)
    assert sorted(await index.freezes(), key=str) == sorted(FROZEN, key=str)
    await index.close()
    assert _schema(path)[0] == INDEX.version
    assert _beside(tmp_path, "*.unfinished") == []


@pytest.mark.parametrize(("name", "schema"), [("index.db", INDEX), ("operators.db", OPERATORS)])
async def test_n15_07_a_newer_file_refuses_the_start_and_stays_as_it_is(tmp_path: Path, name: str, schema: object) -> None:
    await (await SqliteIndex.open(tmp_path / "index.db")).close()
    later = (INDEX if schema is INDEX else OPERATORS).version + 1
    _write(tmp_path / name, f"CREATE TABLE of_tomorrow (a TEXT); PRAGMA user_version = {later};")
    before = _schema(tmp_path / name)
    with pytest.raises(StoreError, match=f"{name} has version {later}, and this regproxy knows {later - 1} at most"):
        await SqliteIndex.open(tmp_path / "index.db")
    assert _schema(tmp_path / name) == before
    assert _beside(tmp_path, "*.damaged*") == []


async def test_n15_07_a_newer_file_of_operators_keeps_an_earlier_index_from_being_touched(tmp_path: Path) -> None:
    path = store_of(tmp_path, "2")
    _write(tmp_path / "operators.db", f"CREATE TABLE of_tomorrow (a TEXT); PRAGMA user_version = {OPERATORS.version + 1};")
    before = _schema(path)
    with pytest.raises(StoreError, match=r"operators\.db has version"):
        await SqliteIndex.open(path)
    assert _schema(path) == before


async def test_n15_07_an_earlier_file_that_is_damaged_is_put_aside(tmp_path: Path) -> None:
    path = store_of(tmp_path, "2")
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (path.stat().st_size - 4096))
    index = await SqliteIndex.open(path)
    assert await index.freezes() == []
    await index.close()
    assert len(_beside(tmp_path, "index.damaged-*")) == 1
