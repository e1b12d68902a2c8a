"""A store and its index, as long as they are needed."""

import asyncio
import threading
from pathlib import Path

import pytest

from regproxy.config import load
from regproxy.wiring.stores import opened, taking_stock


@pytest.mark.parametrize("turns", range(12))
async def test_no_connection_outlives_a_comparison_that_ends_at_once(tmp_path: Path, turns: int) -> None:
    settings = load(None, {"REGPROXY__STORE__ROOT": str(tmp_path / "store")})
    before = set(threading.enumerate())
    async with opened(settings) as store:
        async with taking_stock(settings, store):
            for _ in range(turns):
                await asyncio.sleep(0)
        connections = [each for each in threading.enumerate() if each not in before and "connection" in each.name]
        for each in connections:
            await asyncio.to_thread(each.join, 60)
        assert not any(each.is_alive() for each in connections)
