"""Files of earlier versions, brought to this one: after a copy, and in one transaction for each file.

A migration that was cut off begins again at the next start. Each version that was ever written has its entry. What an earlier version did
not know is asked again, or recorded anew from the files.
"""

import contextlib
import logging
import sqlite3
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from regproxy.index.schema import INDEX, Schema
from regproxy.telemetry.log import fields

# Version 2 had pins and freezes in the index; nothing of before had a number, or knew which manifest lists what.
_WANTED: Mapping[int, Sequence[str]] = {
    0: ("INSERT OR IGNORE INTO operators.freezes SELECT pattern, digest FROM main.freezes",),
    2: (
        "INSERT OR IGNORE INTO operators.freezes SELECT pattern, digest FROM main.freezes",
        "INSERT OR IGNORE INTO operators.pins SELECT DISTINCT digest FROM main.content WHERE pinned",
    ),
}
# By table of this version: where its rows come from. `content` of version 0 is recorded anew from the files, with what each manifest lists.
_ROWS: Mapping[int, Mapping[str, str]] = {
    0: {
        "holders": "SELECT digest, kind, repository FROM old_holders",
        "tags": "SELECT reference, media_type, digest, size, checked_at FROM old_tags",
    },
    2: {
        "content": "SELECT digest, kind, media_type, size, used_at, often FROM old_content",
        "children": "SELECT parent, child FROM old_children",
        "holders": "SELECT digest, kind, repository FROM old_holders",
        "tags": "SELECT reference, media_type, digest, size, checked_at FROM old_tags",
    },
}
_OLD_TABLES: Mapping[int, frozenset[str]] = {
    0: frozenset({"content", "holders", "tags", "freezes", "listings"}),
    2: frozenset({"content", "totals", "children", "holders", "tags", "freezes", "listings"}),
}
_NAMES = "SELECT name FROM main.sqlite_master WHERE type = ? AND name NOT LIKE 'sqlite%'"

_log = logging.getLogger(__name__)


class NewerVersion(sqlite3.DatabaseError):
    """A file was written by a later version, which alone knows what is in it."""


def version_of(connection: sqlite3.Connection) -> int:
    [(version,)] = connection.execute("PRAGMA user_version")
    return int(version)


def check_not_newer(path: Path, version: int | None, schema: Schema) -> None:
    """Raise `NewerVersion` where *version*, that of the file at *path*, is later than the one of *schema*."""
    if version is not None and version > schema.version:
        raise NewerVersion(
            f"{path} has version {version}, and this regproxy knows {schema.version} at most: run the version that wrote it, or see"
            " Upgrade in the documentation"
        )


def is_earlier(path: Path, version: int | None) -> bool:
    """Report whether the index at *path*, of *version*, is one that an earlier version wrote."""
    if version is None or version not in _OLD_TABLES:
        return False
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return _names(connection, "table") >= _OLD_TABLES[version]


def migrate(path: Path, operators: Path) -> None:
    """Bring the index at *path* to this version, and what operators want out of it to the file at *operators*; raise `sqlite3.Error`.

    The file as it was stays beside it, as `index.version-N.db`.
    """
    began = time.monotonic()
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        version = version_of(connection)
        _copy(connection, path.with_suffix(f".version-{version}.db"))
        connection.execute("ATTACH DATABASE ? AS operators", (str(operators),))
        connection.execute("PRAGMA operators.synchronous = FULL")
        # Two files in WAL mode are not committed as one: theirs first, and once more after a cut.
        _in_transaction(connection, _WANTED[version])
        connection.execute("DETACH DATABASE operators")
        _in_transaction(connection, _statements(connection, version))
    _log.info(
        "database migrated",
        extra=fields(
            path=str(path), old=version, new=INDEX.version, seconds=round(time.monotonic() - began, 3), copy=f"index.version-{version}.db"
        ),
    )


def _statements(connection: sqlite3.Connection, version: int) -> list[str]:
    """List what makes the tables anew, and fills them from those that were."""
    tables = sorted(_names(connection, "table"))
    drops = [f'DROP {kind} "{name}"' for kind in ("trigger", "index") for name in sorted(_names(connection, kind))]
    renames = [f'ALTER TABLE "{name}" RENAME TO "old_{name}"' for name in tables]
    fills = [f"INSERT INTO {table} {rows}" for table, rows in _ROWS[version].items()]
    ends = [f'DROP TABLE "old_{name}"' for name in tables]
    return [*drops, *renames, *_split(INDEX.tables), *fills, *ends, f"PRAGMA user_version = {INDEX.version}"]


def _in_transaction(connection: sqlite3.Connection, statements: Sequence[str]) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        for statement in statements:
            connection.execute(statement)
        connection.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise


def _split(script: str) -> list[str]:
    """Split a script into statements; those of a trigger stay together."""
    found, statement = [], ""
    for part in script.split(";"):
        statement += f"{part};"
        if sqlite3.complete_statement(statement):
            found.append(statement)
            statement = ""
    return found


def _names(connection: sqlite3.Connection, kind: str) -> set[str]:
    return {str(name) for (name,) in connection.execute(_NAMES, (kind,))}


def _copy(connection: sqlite3.Connection, to: Path) -> None:
    """Copy a database to another file, at once or not at all."""
    unfinished = to.with_suffix(".unfinished")
    unfinished.unlink(missing_ok=True)
    with contextlib.closing(sqlite3.connect(unfinished)) as copy:
        unfinished.chmod(0o600)
        connection.backup(copy)
    unfinished.rename(to)
