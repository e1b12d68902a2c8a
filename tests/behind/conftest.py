"""What tests of this room share."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from regproxy.index.sqlite import SqliteIndex
from tests.behind.filled import Filled
from tests.behind.replicas import NOW
from tests.behind_kit import tier


@pytest.fixture
async def subject(tmp_path: Path) -> AsyncIterator[Filled]:
    index = await SqliteIndex.open(tmp_path / "index.db", lambda: NOW)
    found = Filled(tier(), index)
    await found.fill()
    yield found
    await found.there.close()
    await index.close()
