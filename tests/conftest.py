"""What the rows of the fault matrix share: an upstream that can misbehave and a regproxy in front of it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.fakes.registry import FakeRegistry
from tests.rig import Rig, rig


@pytest.fixture
async def upstream() -> AsyncIterator[FakeRegistry]:
    async with FakeRegistry() as registry:
        yield registry


@pytest.fixture
async def proxy(upstream: FakeRegistry, tmp_path: Path) -> AsyncIterator[Rig]:
    """Run regproxy before the upstream, asking it about a tag at every pull."""
    async with rig(tmp_path / "store", {"docker.io": {"hosts": [{"url": upstream.url}], "tags": [{"fresh_for": "0s"}]}}) as running:
        yield running
