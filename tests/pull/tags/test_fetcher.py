"""Manifests by digest: one question for all who ask, and what a tag is known to have meant also where nothing else names it."""

import asyncio
from pathlib import Path

from tests.fakes.registry import FakeRegistry
from tests.pull.tags.timeline import Timeline, served


async def test_n18_07_many_who_ask_for_a_digest_cause_one_question(upstream: FakeRegistry, tmp_path: Path) -> None:
    timeline = Timeline(upstream, tmp_path, {})
    async with timeline.replica() as proxy:
        digest = timeline.push("old")
        assert {found for found, _ in await asyncio.gather(*(served(proxy, digest) for _ in range(20)))} == {digest}
        assert upstream.count("GET", "manifests", digest) == 1
