"""The index of one machine, in SQLite (port Index).

WAL, synchronous=NORMAL: a power cut may lose the last records, never the file's order. A database that is damaged is put aside and begun
anew: what it knew can be asked again. What repositories hold is kept in memory too, so that a repeated hit reads no database.
"""

import asyncio
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self, TypeAlias

import aiosqlite
from cachetools import LRUCache

from regproxy.oci.descriptor import Descriptor
from regproxy.oci.digest import Digest
from regproxy.oci.reference import Reference, Repository
from regproxy.policy.freezing import Freeze
from regproxy.policy.freshness import TagRecord
from regproxy.ports import Kind, StoreError

Value: TypeAlias = str | int | float | bytes

_log = logging.getLogger(__name__)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS content (
    kind TEXT, digest TEXT, media_type TEXT NOT NULL, size INTEGER NOT NULL, PRIMARY KEY (kind, digest)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS holders (
    kind TEXT, digest TEXT, repository TEXT, PRIMARY KEY (kind, digest, repository)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS tags (
    reference TEXT PRIMARY KEY, media_type TEXT NOT NULL, digest TEXT NOT NULL, size INTEGER NOT NULL, checked_at REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS freezes (
    pattern TEXT PRIMARY KEY, digest TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS listings (
    key TEXT PRIMARY KEY, body BLOB NOT NULL, fetched_at REAL NOT NULL
) WITHOUT ROWID;
"""
_REMEMBERED = 100_000  # about 30 MB of names in memory at most
_LISTINGS = 10_000  # rows; clients choose what is listed, so it needs a bound


class SqliteIndex:
    """Content, its holders, tags and listings, in one file."""

    def __init__(self, connection: aiosqlite.Connection) -> None:
        """Use `open` instead."""
        self._db = connection
        self._held: LRUCache[tuple[Kind, Repository, Digest], Descriptor] = LRUCache(_REMEMBERED)
        self._writing = asyncio.Lock()  # a commit must not take half of another's transaction along

    @classmethod
    async def open(cls, path: Path) -> Self:
        """Open the database at *path*, or begin a new one where there is none or the old one is damaged."""
        try:
            return cls(await _connect(path))
        except aiosqlite.DatabaseError as error:
            _log.warning("the index at %s is damaged (%s): put aside, begun anew", path, error)
            await asyncio.to_thread(_put_aside, path)
            return cls(await _connect(path))

    async def close(self) -> None:
        await self._db.close()

    async def tag(self, reference: Reference) -> TagRecord | None:
        row = await self._one("SELECT media_type, digest, size, checked_at FROM tags WHERE reference = ?", str(reference))
        return TagRecord(_descriptor(row[0], row[1], row[2]), float(str(row[3]))) if row else None

    async def put_tag(self, reference: Reference, record: TagRecord) -> None:
        found = record.descriptor
        row = (str(reference), found.media_type, str(found.digest), found.size, record.checked_at)
        await self._write(("INSERT OR REPLACE INTO tags VALUES (?, ?, ?, ?, ?)", row))

    async def drop_tag(self, reference: Reference) -> None:
        await self._write(("DELETE FROM tags WHERE reference = ?", (str(reference),)))

    async def held(self, kind: Kind, repository: Repository, digest: Digest) -> Descriptor | None:
        key = (kind, repository, digest)
        if (remembered := self._held.get(key)) is not None:
            return remembered
        row = await self._one(
            "SELECT media_type, digest, size FROM content JOIN holders USING (kind, digest)"
            " WHERE kind = ? AND digest = ? AND repository = ?",
            kind.value,
            str(digest),
            str(repository),
        )
        if row is None:
            return None
        found = self._held[key] = _descriptor(*row)
        return found

    async def known(self, kind: Kind, digest: Digest) -> Descriptor | None:
        row = await self._one("SELECT media_type, digest, size FROM content WHERE kind = ? AND digest = ?", kind.value, str(digest))
        return _descriptor(*row) if row else None

    async def put(self, kind: Kind, repository: Repository, descriptor: Descriptor) -> None:
        digest = str(descriptor.digest)
        await self._write(
            (
                "INSERT INTO content VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET size = excluded.size",
                (kind.value, digest, descriptor.media_type, descriptor.size),
            ),
            ("INSERT OR IGNORE INTO holders VALUES (?, ?, ?)", (kind.value, digest, str(repository))),
        )
        self._held.pop((kind, repository, descriptor.digest), None)

    async def digest_named(self, reference: str) -> Digest | None:
        row = await self._one("SELECT digest FROM tags WHERE reference = ?", reference)
        return Digest.parse(str(row[0])) if row else None

    async def freezes(self) -> list[Freeze]:
        rows = await self._all("SELECT pattern, digest FROM freezes ORDER BY pattern")
        return [Freeze(str(pattern), Digest.parse(str(digest)) if digest else None) for pattern, digest in rows]

    async def put_freeze(self, freeze: Freeze) -> None:
        digest = str(freeze.digest) if freeze.digest else ""
        await self._write(("INSERT OR REPLACE INTO freezes VALUES (?, ?)", (freeze.pattern, digest)))

    async def drop_freeze(self, pattern: str) -> bool:
        was_there = await self._one("SELECT 1 FROM freezes WHERE pattern = ?", pattern) is not None
        await self._write(("DELETE FROM freezes WHERE pattern = ?", (pattern,)))
        return was_there

    async def listing(self, key: str) -> bytes | None:
        row = await self._one("SELECT body FROM listings WHERE key = ?", key)
        return row[0] if row and isinstance(row[0], bytes) else None

    async def put_listing(self, key: str, body: bytes) -> None:
        await self._write(
            ("INSERT OR REPLACE INTO listings VALUES (?, ?, ?)", (key, body, time.time())),
            (
                "DELETE FROM listings WHERE fetched_at < (SELECT fetched_at FROM listings ORDER BY fetched_at DESC LIMIT 1 OFFSET ?)",
                (_LISTINGS,),
            ),
        )

    async def _one(self, query: str, *values: str) -> tuple[Value, ...] | None:
        return next(iter(await self._all(query, *values)), None)

    async def _all(self, query: str, *values: str) -> list[tuple[Value, ...]]:
        with _translated():
            return [tuple(row) for row in await self._db.execute_fetchall(query, values)]

    async def _write(self, *statements: tuple[str, tuple[Value, ...]]) -> None:
        """Do all of it, or nothing."""
        async with self._writing:
            with _translated():
                try:
                    for statement, values in statements:
                        await self._db.execute(statement, values)
                    await self._db.commit()
                except BaseException:
                    await self._db.rollback()
                    raise


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except aiosqlite.Error as error:
        raise StoreError(f"the index failed: {error}") from error


async def _connect(path: Path) -> aiosqlite.Connection:
    connection = await aiosqlite.connect(path)
    try:
        await connection.execute("PRAGMA journal_mode = WAL")
        await connection.execute("PRAGMA synchronous = NORMAL")
        await connection.execute("PRAGMA busy_timeout = 5000")
        await connection.executescript(_SCHEMA)
        await connection.execute_fetchall("SELECT count(*) FROM tags")
    except BaseException:
        await connection.close()
        raise
    await asyncio.to_thread(path.chmod, 0o600)
    return connection


def _put_aside(path: Path) -> None:
    path.rename(path.with_suffix(f".damaged-{time.time_ns()}"))
    for leftover in ("-wal", "-shm"):
        path.with_name(path.name + leftover).unlink(missing_ok=True)


def _descriptor(media_type: object, digest: object, size: object) -> Descriptor:
    return Descriptor(str(media_type), Digest.parse(str(digest)), int(str(size)))
