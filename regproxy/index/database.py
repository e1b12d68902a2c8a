"""The SQLite files of one machine: opened together, written in transactions.

WAL, synchronous=NORMAL: a power cut may lose the last records of the index, never the file's order. What operators want is in a file of its
own, written in full before they are told that it is: the index may be lost, for what it knew can be asked again.

Reading has a connection of its own, and so a thread of its own: it does not wait for a disk that is slow to write. A connection whose call
hangs is not asked again before that comes back: whoever asked would wait behind it, in vain.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Self, TypeAlias

import aiosqlite

from regproxy.index import recovery
from regproxy.ports import StoreError

Value: TypeAlias = str | int | float | bytes
Row: TypeAlias = tuple[Value, ...]
Setup: TypeAlias = Callable[[aiosqlite.Connection], Awaitable[None]]

_TIMEOUT = 10.0  # seconds for a query or a transaction; as for other calls to the disk, a slow one takes two
_BRIEFLY = 0.2  # seconds to undo a transaction


class Database:
    """Two connections, and the turn to write; every method raises `StoreError`."""

    def __init__(self, path: Path, writer: aiosqlite.Connection, reader: aiosqlite.Connection) -> None:
        """Use `open` instead."""
        self._path = path
        self._writer = writer
        self._reader = reader
        self._writing = asyncio.Lock()  # a commit must not take half of another's transaction along
        self._whose_turn: asyncio.Task[object] | None = None
        self._overdue: dict[aiosqlite.Connection, asyncio.Future[Any]] = {}

    @classmethod
    async def open(cls, path: Path, setup: Setup) -> Self:
        """Open the index at *path*, and run *setup* on each connection; what is damaged is begun anew."""
        try:
            await asyncio.to_thread(recovery.make_usable, path)
        except (sqlite3.Error, OSError) as error:
            raise StoreError(f"the index at {path} cannot be used: {error}") from error
        return await cls.joined(path, setup)

    @classmethod
    async def joined(cls, path: Path, setup: Setup) -> Self:
        """Open what another process of ours has opened, and has made usable."""
        try:
            return cls(path, await _connected(path, setup), await _connected(path, setup))
        except (sqlite3.Error, OSError) as error:
            raise StoreError(f"the index at {path} cannot be used: {error}") from error

    async def close(self) -> None:
        for connection in (self._writer, self._reader):
            await connection.close()

    async def rows(self, query: str, *values: Value) -> list[Row]:
        """Ask; within a transaction what it has written so far is seen."""
        connection = self._writer if self._whose_turn is asyncio.current_task() else self._reader
        with self._translated():
            self._check(connection)
            asking = asyncio.ensure_future(connection.execute_fetchall(query, values))
            try:
                async with asyncio.timeout(_TIMEOUT):
                    return [tuple(row) for row in await asyncio.shield(asking)]
            except TimeoutError:
                self._overdue[connection] = asking
                raise

    async def row(self, query: str, *values: Value) -> Row | None:
        return next(iter(await self.rows(query, *values)), None)

    async def write(self, statement: str, *values: Value) -> None:
        async with self.transaction():
            await self.execute(statement, *values)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """Run the statements of the block in one transaction: all of them, or none."""
        with self._translated():
            async with asyncio.timeout(_TIMEOUT), self._writing:
                self._check(self._writer)
                self._whose_turn = asyncio.current_task()
                try:
                    yield
                    await self._writer.commit()
                except BaseException:
                    await self._roll_back()
                    raise
                finally:
                    self._whose_turn = None

    async def execute(self, statement: str, *values: Value | None) -> None:
        """Do a part of a transaction."""
        with self._translated():
            await self._writer.execute(statement, values)

    async def execute_many(self, statement: str, rows: list[Row]) -> None:
        """Do a part of a transaction, once for each row."""
        with self._translated():
            await self._writer.executemany(statement, rows)

    async def _roll_back(self) -> None:
        """Roll back; behind a call that hangs it is done when that call returns, and nothing waits for it."""
        undoing = asyncio.ensure_future(self._writer.rollback())
        try:
            async with asyncio.timeout(_BRIEFLY):
                await asyncio.shield(undoing)
        except TimeoutError:
            self._overdue[self._writer] = undoing

    def _check(self, connection: aiosqlite.Connection) -> None:
        """Raise `TimeoutError` while a call hangs."""
        overdue = self._overdue.get(connection)
        if overdue is not None and not overdue.done():
            raise TimeoutError

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except TimeoutError as error:
            raise StoreError(f"the index did not answer within {_TIMEOUT:g} s") from error
        except sqlite3.Error as error:
            if recovery.is_damage(error):
                recovery.mark_damaged(self._path)
            raise StoreError(f"the index failed: {error}") from error


async def _connected(path: Path, setup: Setup) -> aiosqlite.Connection:
    connection = await aiosqlite.connect(path)
    try:
        await connection.execute("ATTACH DATABASE ? AS operators", (str(recovery.operators_file(path)),))
        await connection.execute("PRAGMA main.synchronous = NORMAL")
        await connection.execute("PRAGMA operators.synchronous = FULL")
        await setup(connection)
        await connection.execute("PRAGMA shrink_memory")  # of what opening took: half of a connection's
    except BaseException:
        await connection.close()
        raise
    return connection
