"""The SQLite files of one machine: opened together, written in transactions.

WAL, synchronous=NORMAL: a power cut may lose the last records of the index, never the file's order. What operators want is in a file of its
own, written in full before they are told that it is: the index may be lost, for what it knew can be asked again.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Self, TypeAlias

import aiosqlite

from regproxy.ports import StoreError
from regproxy.state import files

Value: TypeAlias = str | int | float | bytes
Row: TypeAlias = tuple[Value, ...]


class Database:
    """A connection, and the turn to write; every method raises `StoreError`."""

    def __init__(self, connection: aiosqlite.Connection, path: Path) -> None:
        """Use `open` instead."""
        self._connection = connection
        self._path = path
        self._writing = asyncio.Lock()  # a commit must not take half of another's transaction along

    @classmethod
    async def open(cls, path: Path, functions: Mapping[str, Callable[[str, str], bool]], setup: str) -> Self:
        """Open the index at *path*, with *functions* of two texts for its queries, and run *setup*; what cannot be used is begun anew."""
        await asyncio.to_thread(files.make_usable, path)
        connection = await aiosqlite.connect(path)
        try:
            await connection.execute("ATTACH DATABASE ? AS operators", (str(files.operators_file(path)),))
            await connection.execute("PRAGMA main.synchronous = NORMAL")
            await connection.execute("PRAGMA operators.synchronous = FULL")
            for name, function in functions.items():
                await connection.create_function(name, 2, function, deterministic=True)
            await connection.executescript(setup)
        except BaseException:
            await connection.close()
            raise
        return cls(connection, path)

    async def close(self) -> None:
        await self._connection.close()

    async def rows(self, query: str, *values: Value) -> list[Row]:
        with self._translated():
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
            with self._translated():
                try:
                    yield
                    await self._connection.commit()
                except BaseException:
                    await self._connection.rollback()
                    raise

    async def execute(self, statement: str, *values: Value) -> None:
        """Do a part of a transaction."""
        with self._translated():
            await self._connection.execute(statement, values)

    async def execute_many(self, statement: str, rows: list[Row]) -> None:
        """Do a part of a transaction, once for each row."""
        with self._translated():
            await self._connection.executemany(statement, rows)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            if files.is_damage(error):
                files.mark_damaged(self._path)
            raise StoreError(f"the index failed: {error}") from error
