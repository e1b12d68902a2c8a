"""One SQLite file: opened, put aside where it is damaged, written in transactions.

WAL, synchronous=NORMAL: a power cut may lose the last records, never the file's order. A database that is damaged, or of another
version, is put aside and begun anew: what it knew can be asked again.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Self, TypeAlias

import aiosqlite

from regproxy.ports import StoreError
from regproxy.state.schema import SCHEMA, VERSION

Value: TypeAlias = str | int | float | bytes
Row: TypeAlias = tuple[Value, ...]

_log = logging.getLogger(__name__)


class Database:
    """A connection, and the turn to write; every method raises `StoreError`."""

    def __init__(self, connection: aiosqlite.Connection) -> None:
        """Use `open` instead."""
        self._connection = connection
        self._writing = asyncio.Lock()  # a commit must not take half of another's transaction along

    @classmethod
    async def open(cls, path: Path) -> Self:
        """Open the database at *path*, or begin a new one where there is none or the old one cannot be used."""
        try:
            return cls(await _connect(path))
        except aiosqlite.DatabaseError as error:
            _log.warning("the index at %s is damaged (%s): put aside, begun anew", path, error)
            await asyncio.to_thread(_put_aside, path)
            return cls(await _connect(path))

    async def close(self) -> None:
        await self._connection.close()

    async def rows(self, query: str, *values: Value) -> list[Row]:
        with _translated():
            return [tuple(row) for row in await self._connection.execute_fetchall(query, values)]

    async def row(self, query: str, *values: Value) -> Row | None:
        return next(iter(await self.rows(query, *values)), None)

    async def write(self, statement: str, *values: Value) -> None:
        async with self.transaction():
            await self.execute(statement, *values)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """Do all of it, or nothing."""
        async with self._writing:
            with _translated():
                try:
                    yield
                    await self._connection.commit()
                except BaseException:
                    await self._connection.rollback()
                    raise

    async def execute(self, statement: str, *values: Value) -> None:
        """Do a part of a transaction."""
        with _translated():
            await self._connection.execute(statement, values)

    async def execute_many(self, statement: str, rows: list[Row]) -> None:
        """Do a part of a transaction, once for each row."""
        with _translated():
            await self._connection.executemany(statement, rows)


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
        await _check_version(connection)
        await connection.executescript(SCHEMA)
        await connection.execute(f"PRAGMA user_version = {VERSION}")
    except BaseException:
        await connection.close()
        raise
    await asyncio.to_thread(path.chmod, 0o600)
    return connection


async def _check_version(connection: aiosqlite.Connection) -> None:
    tables = await connection.execute_fetchall("SELECT count(*) FROM sqlite_master")
    version = await connection.execute_fetchall("PRAGMA user_version")
    if [*tables] != [(0,)] and [*version] != [(VERSION,)]:
        raise aiosqlite.DatabaseError(f"it is not of version {VERSION}")


def _put_aside(path: Path) -> None:
    path.rename(path.with_suffix(f".damaged-{time.time_ns()}"))
    for leftover in ("-wal", "-shm"):
        path.with_name(path.name + leftover).unlink(missing_ok=True)
