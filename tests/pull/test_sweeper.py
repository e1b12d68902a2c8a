"""The room and the books: they agree, and neither is hasty."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from regproxy.pull.sweeper import Sweeper
from regproxy.pull.uses import Uses
from regproxy.state.sqlite import SqliteIndex
from regproxy.storage.disk import DiskStore


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[DiskStore]:
    store = DiskStore(tmp_path)
    await store.prepare()
    yield store
    store.close()


@pytest.fixture
async def sweeper(store: DiskStore, tmp_path: Path) -> AsyncIterator[Sweeper]:
    index = await SqliteIndex.open(tmp_path / "index.db")
    ledger = index.ledger()
    yield Sweeper(store, ledger, Uses(ledger, lambda: 0.0), lambda: 0.0)
    await index.close()


async def test_what_is_only_on_its_way_into_the_books_is_not_taken_for_a_difference(store: DiskStore, sweeper: Sweeper) -> None:
    await sweeper.agree()
    store.count(4096)  # as a fill does before it writes its record
    await sweeper.agree()
    assert store.counted == 4096
    await sweeper.agree()
    assert store.counted == 0, "there was no record to come"


async def test_a_difference_that_changes_is_work_in_progress(store: DiskStore, sweeper: Sweeper) -> None:
    for size in (4096, 8192, 4096):
        store.count(size)
        await sweeper.agree()
    assert store.counted == 16384
