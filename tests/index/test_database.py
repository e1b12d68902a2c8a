"""Two connections to one file: what is written is all there or not at all, and a failure is one of the store."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from regproxy.index.database import Database, Row
from regproxy.index.retention import prepare
from regproxy.ports import StoreError

_PUT = "INSERT INTO listings VALUES (?, ?, 0)"
_KEYS = "SELECT key FROM listings ORDER BY key"


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Database]:
    found = await Database.open(tmp_path / "index.db", lambda connection: prepare(connection, []))
    yield found
    await found.close()


async def _put_and_look(db: Database, key: str) -> list[Row]:
    async with db.transaction():
        await db.execute(_PUT, key, b"")
        return await db.rows(_KEYS)


async def test_a_transaction_that_fails_leaves_nothing_and_the_next_one_works(db: Database) -> None:
    async def fail() -> None:
        async with db.transaction():
            await db.execute(_PUT, "lost", b"")
            raise ValueError("in the middle")

    with pytest.raises(ValueError, match="in the middle"):
        await fail()
    assert await _put_and_look(db, "kept") == [("kept",)]
    assert await db.rows(_KEYS) == [("kept",)]


async def test_only_the_transaction_itself_sees_what_it_has_written_so_far(db: Database) -> None:
    async with db.transaction():
        await db.execute_many(_PUT, [("one", b""), ("two", b"")])
        assert await db.row("SELECT count(*) FROM listings") == (2,)
        assert await asyncio.create_task(db.rows(_KEYS)) == []
    assert await asyncio.create_task(db.rows(_KEYS)) == [("one",), ("two",)]


async def test_transactions_that_come_at_once_come_one_after_another(db: Database) -> None:
    seen = await asyncio.gather(*(_put_and_look(db, key) for key in "abc"))
    assert sorted(map(len, seen)) == [1, 2, 3]


async def test_one_who_is_given_up_on_leaves_the_turn_to_the_next(db: Database) -> None:
    begun = asyncio.Event()

    async def hang() -> None:
        async with db.transaction():
            await db.execute(_PUT, "lost", b"")
            begun.set()
            await asyncio.Event().wait()

    hanging = asyncio.create_task(hang())
    await begun.wait()
    hanging.cancel()
    assert await _put_and_look(db, "kept") == [("kept",)]


async def test_a_mistake_in_a_query_is_trouble_of_the_store(db: Database, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="the index failed: no such table"):
        await db.write("INSERT INTO missing VALUES (1)")
    with pytest.raises(StoreError, match="the index failed"):
        await db.rows("SELECT nothing FROM listings")
    assert await _put_and_look(db, "kept") == [("kept",)]
    assert not (tmp_path / "index.damaged").exists(), "that is no damage"


async def test_what_another_has_opened_is_joined(db: Database, tmp_path: Path) -> None:
    await db.write(_PUT, "one", b"")
    other = await Database.joined(tmp_path / "index.db", lambda connection: prepare(connection, []))
    assert await other.rows(_KEYS) == [("one",)]
    await other.close()


async def test_a_path_that_is_no_file_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "index.db").mkdir()
    with pytest.raises(StoreError, match=r"index\.db cannot be used"):
        await Database.open(tmp_path / "index.db", lambda connection: prepare(connection, []))
