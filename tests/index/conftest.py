"""What the tests of the index share."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from regproxy.index.sqlite import SqliteIndex
from tests.index.books import Books


@pytest.fixture
async def books(tmp_path: Path) -> AsyncIterator[Books]:
    now = [1000.0]
    index = await SqliteIndex.open(tmp_path / "index.db", lambda: now[0])
    yield Books(index, index.ledger(), now)
    await index.close()
