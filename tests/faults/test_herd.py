"""A herd: many clients, one cold blob. The figures of a paced one are in bench/herd.py; here is what must hold at any speed."""

import asyncio
import os
from pathlib import Path

from tests.fakes.deeds import Stall
from tests.fakes.entry import on
from tests.fakes.registry import FakeRegistry
from tests.rig import get, raw, rig

NAME = "library/app"
CLIENTS = 300
BLOB = os.urandom(4 * 1024 * 1024)  # what comes with the first request


async def test_b6_a_herd_is_one_request_one_token_and_everyone_reads_along(tmp_path: Path) -> None:
    """While upstream has sent only a part, each of them has had a byte of it."""
    async with FakeRegistry("anonymous") as upstream:
        digest = upstream.add_blob(NAME, BLOB)
        stall = Stall(1024 * 1024)
        upstream.misbehave(on("GET", "/blobs/"), stall)
        async with rig(tmp_path / "store", {"docker.io": upstream.url}, timeouts={"silence": "60s"}) as proxy:
            path = f"/v2/{NAME}/blobs/{digest}?ns=docker.io"
            reading = [asyncio.create_task(proxy.ask(path)) for _ in range(CLIENTS)]
            first_bytes = await asyncio.gather(*(raw(proxy.port, get(path), read=64 * 1024) for _ in range(20)))
            assert all(BLOB.startswith(answer.body) and answer.body for answer in first_bytes)
            stall.event.set()
            assert [answer.body == BLOB for answer in await asyncio.gather(*reading)] == [True] * CLIENTS
        assert (upstream.count("GET", "blobs"), upstream.count("HEAD", "blobs")) == (2, 0), "one of them without a token"
        assert upstream.sent_blob_bytes() == len(BLOB)
        assert len(upstream.issued) == 1
