"""What the tests of maintenance share."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from regproxy.index.sqlite import SqliteIndex
from regproxy.storage.disk import DiskStore
from tests.maintenance.kept import Kept


@pytest.fixture
async def kept(tmp_path: Path) -> AsyncIterator[Kept]:
    store = DiskStore(tmp_path)
    await store.prepare()
    index = await SqliteIndex.open(tmp_path / "index.db")
    yield Kept(tmp_path, store, index, index.ledger())
    await index.close()
    store.close()
