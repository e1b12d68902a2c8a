"""Real clients show all tags of a repository, in whatever order and pages upstream lists them."""

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.fakes.program import Program
from tests.fakes.registry import FakeRegistry
from tests.fakes.tag_orders import ORDERS
from tests.rig import LOOPBACK

from .copiers import LISTS

TAGS = [f"v{number}" for number in range(250)]
random.Random(13).shuffle(TAGS)


@pytest.fixture
async def upstream() -> AsyncIterator[FakeRegistry]:
    async with FakeRegistry() as registry:
        digest = registry.add_image("team/app", None, [b"layer"]).digest
        for tag in TAGS:
            registry.set_tag("team/app", tag, digest)
        yield registry


@pytest.fixture
async def program(tmp_path: Path, upstream: FakeRegistry) -> AsyncIterator[Program]:
    program = Program(tmp_path, {"registry.test": {"hosts": [{"url": upstream.url}]}}, workers=1)
    async with program.running():
        yield program


async def test_n13_10_each_client_lists_every_tag_in_every_order(program: Program, upstream: FakeRegistry) -> None:
    """Clients that follow Links stop at the first page without one: 100 of 250 tags, and no error."""
    repository = f"{LOOPBACK}:{program.port}/registry.test/team/app"
    for name, order in ORDERS.items():
        upstream.order = order
        for client, listed in LISTS.items():
            found = await asyncio.to_thread(listed, repository)
            assert sorted(found) == sorted(TAGS), (name, client)


async def test_n13_10_each_client_lists_every_tag_while_upstream_is_down(program: Program, upstream: FakeRegistry) -> None:
    upstream.order = ORDERS["Quay"]
    repository = f"{LOOPBACK}:{program.port}/registry.test/team/app"
    for listed in LISTS.values():
        await asyncio.to_thread(listed, repository)
    await upstream.stop()
    for client, listed in LISTS.items():
        assert sorted(await asyncio.to_thread(listed, repository)) == sorted(TAGS), client
