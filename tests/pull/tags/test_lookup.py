"""What a tag means is asked once, and what may be served next is on record before the answer leaves."""

import asyncio
from pathlib import Path

from tests.fakes.registry import FakeRegistry
from tests.pull.tags.timeline import Timeline, served


async def test_n18_07_clients_that_ask_at_once_are_answered_alike_and_by_one_question(upstream: FakeRegistry, tmp_path: Path) -> None:
    timeline = Timeline(upstream, tmp_path, {"cooldown": "3d"})
    async with timeline.replica() as proxy:
        old = timeline.push("old")
        assert {digest for digest, _ in await asyncio.gather(*(served(proxy) for _ in range(20)))} == {old}
        timeline.push("new")
        before = len(upstream.ledger)
        assert {digest for digest, _ in await asyncio.gather(*(served(proxy) for _ in range(20)))} == {old}
        assert len(upstream.ledger) - before < 20
