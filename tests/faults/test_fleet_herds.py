"""Many pulls at once at members that may bring and send few pieces at a time."""

import asyncio
import os
from pathlib import Path

import pytest

from regproxy.peers import exchange
from regproxy.policy.fleet import walk
from regproxy.web.fleet import pieces
from tests.fakes.fleet import fleet
from tests.fakes.registry import FakeRegistry

NAME = "library/app"
MIB = 1024 * 1024


@pytest.mark.parametrize(("most", "blobs"), [(4, 1), (4, 10), (32, 30)])
async def test_n17_02_a_herd_at_members_that_are_full_asks_upstream_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int, blobs: int
) -> None:
    monkeypatch.setattr(exchange, "MAX_PIECES", most)
    monkeypatch.setattr(pieces, "MAX_PIECES", most)
    monkeypatch.setattr(walk, "_PAUSES", [0.25] * 1000)  # on a slow machine they are full for longer
    async with FakeRegistry() as upstream, fleet(tmp_path, {"docker.io": upstream.url}, 3) as rigs:
        layers = [os.urandom(2 * MIB + 5) for _ in range(blobs)]
        paths = [f"/v2/{NAME}/blobs/{upstream.add_blob(NAME, each)}" for each in layers]

        async def pulled(number: int) -> None:
            answer = await rigs[number % 3].ask(paths[number % blobs])
            assert (answer.status, answer.body == layers[number % blobs]) == (200, True)

        await asyncio.gather(*(pulled(number) for number in range(300)))
        await asyncio.gather(*(each.settled() for each in rigs))
        assert upstream.sent_blob_bytes() == sum(map(len, layers))
