"""What the tests of the store share."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from regproxy.storage.disk import DiskStore


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[DiskStore]:
    store = DiskStore(tmp_path / "store")
    await store.prepare()
    yield store
    store.close()
