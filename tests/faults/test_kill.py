"""Killed in the middle of a fill, by SIGKILL: what was fetched is used, and is no more believed than before.

REGPROXY_KILLS says how many random moments are tried.
"""

import os
import random
import sys
from pathlib import Path

import pytest

from tests.fakes.deeds import Delay, Paced
from tests.fakes.entry import on
from tests.fakes.registry import FakeRegistry
from tests.rig import free_port, get, raw
from tests.serving import serving

NAME = "library/app"
SIZE = 96 * 1024 * 1024
TRIP = 0.16  # seconds: more connections help where a connection is slow because its upstream is far
KILLS = int(os.environ.get("REGPROXY_KILLS", "1"))


@pytest.mark.parametrize("seed", range(KILLS))
@pytest.mark.parametrize("rate", [40_000_000, 8_000_000], ids=["one connection", "several"])
async def test_what_was_fetched_before_a_kill_is_used(tmp_path: Path, seed: int, rate: int) -> None:
    """The moment is anyone's; what is lost is what had not reached the file, under a tenth of it with several connections."""
    blob = os.urandom(SIZE)
    seen = random.Random(seed).randrange(SIZE // 10, SIZE * 9 // 10)
    async with FakeRegistry() as upstream:
        digest = upstream.add_blob(NAME, blob)
        upstream.misbehave(on("GET", "/blobs/"), Delay(TRIP), Paced(rate))
        port, path = free_port(), f"/v2/{NAME}/blobs/{digest}?ns=docker.io"
        program = await serving(tmp_path, upstream.url, port)
        assert len((await raw(port, get(path), read=seen)).body) >= seen - 1000
        program.kill()
        await program.wait()
        program = await serving(tmp_path, upstream.url, port)
        try:
            assert (await raw(port, get(path))).body == blob
        finally:
            program.terminate()
            await program.wait()
        again = [entry.headers["range"] for entry in upstream.ledger if entry.kind == "blobs" and "range" in entry.headers]
        starts = [int(header.removeprefix("bytes=").partition("-")[0]) for header in again]
        assert starts[1:].count(0) == 0, "nothing is fetched from its beginning again"
        sys.stdout.write(f"\nkilled at {seen / SIZE:.2f}: {upstream.sent_blob_bytes() / SIZE:.3f} times the bytes\n")
        assert upstream.sent_blob_bytes() <= 1.1 * SIZE
        assert list((tmp_path / "store" / "ingest").iterdir()) == []
