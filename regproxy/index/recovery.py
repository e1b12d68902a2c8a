"""The files of the database: made, recognised, migrated where they are of an earlier version, put aside where they are damaged.

A file whose damage shows only while it is used is marked then, and put aside at the next start: to look through all of an index at every
start would take longer than a start may.
"""

import contextlib
import logging
import sqlite3
import time
from pathlib import Path

from regproxy.index import migrations
from regproxy.index.schema import INDEX, OPERATORS, Schema
from regproxy.telemetry.log import fields

_SMALL = 4 * 1024 * 1024  # bytes that can be looked through at every start: some 20 ms

_MADE = "SELECT count(*) FROM sqlite_master WHERE type IN ('table', 'index') AND name NOT LIKE 'sqlite%'"

_log = logging.getLogger(__name__)


def operators_file(index: Path) -> Path:
    """Name the file beside the index that outlives it."""
    return index.with_name("operators.db")


def make_usable(index: Path) -> None:
    """Make both files exist, sound and of this version, and log what was lost; raise `sqlite3.Error`.

    An index of an earlier version is migrated. Raise `NewerVersion`, and change nothing, where a file is of a later one.
    """
    operators = operators_file(index)
    files = {operators: OPERATORS, index: INDEX}  # what operators want moves from an earlier index into a file that is sound
    versions = {path: _version(path) for path in files}
    for path, schema in files.items():
        migrations.check_not_newer(path, versions[path], schema)
    is_earlier = migrations.is_earlier(index, versions[index])
    was_used = any(path.exists() for path in files)
    for path, schema in files.items():
        if was_used and not path.exists() and not (path == operators and is_earlier):
            _log.warning("database missing: created a new one", extra=fields(path=str(path), loss=schema.loss))
        try:
            if path == index and is_earlier:
                migrations.migrate(index, operators)
            _make(path, schema)
        except sqlite3.Error as error:
            if not is_damage(error):
                raise  # a disk that is full or fails: what is there may be good
            _log.warning(
                "database corrupt: quarantined, created a new one", extra=fields(path=str(path), reason=str(error), loss=schema.loss)
            )
            _put_aside(path)
            _make(path, schema)


class Unusable(sqlite3.DatabaseError):
    """A file can be read, and is not what it should be."""


def is_damage(error: sqlite3.Error) -> bool:
    """Distinguish a file that is wrong from a disk that is full or fails."""
    return isinstance(error, Unusable) or getattr(error, "sqlite_errorcode", 0) & 0xFF in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def mark_damaged(index: Path) -> None:
    with contextlib.suppress(OSError):
        _mark(index).touch()


def _mark(path: Path) -> Path:
    return path.with_suffix(".damaged")


def _make(path: Path, schema: Schema) -> None:
    if _mark(path).exists():
        raise Unusable("damage was found when it was used last")
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        if connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,):
            connection.executescript(f"BEGIN; {schema.tables} PRAGMA user_version = {schema.version}; COMMIT;")
        elif migrations.version_of(connection) != schema.version:
            raise Unusable(f"it is not of version {schema.version}")
        elif connection.execute(_MADE).fetchone() < (schema.tables.count("CREATE TABLE") + schema.tables.count("CREATE INDEX"),):
            connection.executescript(f"BEGIN; {schema.tables} COMMIT;")  # a table or an index that was added since
        if path.stat().st_size <= _SMALL and (found := connection.execute("PRAGMA quick_check(1)").fetchone()) != ("ok",):
            raise Unusable(found[0])
    path.chmod(0o600)


def _version(path: Path) -> int | None:
    """Return the version that a file says it has; None where there is no file, or none that can be read."""
    if not path.exists():
        return None
    try:
        with contextlib.closing(sqlite3.connect(path)) as connection:
            return migrations.version_of(connection)
    except sqlite3.Error as error:
        if not is_damage(error):
            raise
        return None


def _put_aside(path: Path) -> None:
    with contextlib.suppress(FileNotFoundError):  # a start that was killed has put it aside, and not yet removed its mark
        path.rename(path.with_suffix(f".damaged-{time.time_ns()}"))
    for leftover in (path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm"), _mark(path)):
        leftover.unlink(missing_ok=True)
