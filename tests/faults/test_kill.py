"""Killed in the middle of a fill, by SIGKILL: what was fetched is used, and is no more believed than before."""

import asyncio
import os
import random
import sys
from asyncio.subprocess import DEVNULL, Process
from pathlib import Path

import aiohttp
import pytest
import yaml

from tests.fakes.deeds import Paced
from tests.fakes.entry import on
from tests.fakes.registry import FakeRegistry
from tests.rig import LOOPBACK, free_port, get, raw

NAME = "library/app"
SIZE = 24 * 1024 * 1024
BLOB = os.urandom(SIZE)


async def _started(root: Path, upstream: FakeRegistry, port: int) -> Process:
    config = root / "regproxy.yaml"
    settings = {
        "listen": f"{LOOPBACK}:{port}",
        "admin_listen": f"{LOOPBACK}:{free_port()}",
        "store": {"root": str(root / "store")},
        "upstreams": {"docker.io": {"hosts": [{"url": upstream.url}]}},
    }
    config.write_text(yaml.safe_dump(settings))
    program = await asyncio.create_subprocess_exec(sys.executable, "-m", "regproxy", "serve", "--config", str(config), stdout=DEVNULL)
    async with aiohttp.ClientSession() as session, asyncio.timeout(20):
        while True:
            try:
                async with session.get(f"http://{LOOPBACK}:{port}/v2/"):
                    return program
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.02)


@pytest.mark.parametrize("seed", range(3))
async def test_what_was_fetched_before_a_kill_is_used(tmp_path: Path, seed: int) -> None:
    """The moment is anyone's; what is lost is what had not reached the file, a few MiB at most."""
    seen = random.Random(seed).randrange(SIZE // 4, SIZE * 3 // 4)
    async with FakeRegistry() as upstream:
        digest = upstream.add_blob(NAME, BLOB)
        upstream.misbehave(on("GET", "/blobs/"), Paced(40_000_000))
        port, path = free_port(), f"/v2/{NAME}/blobs/{digest}?ns=docker.io"
        program = await _started(tmp_path, upstream, port)
        assert len((await raw(port, get(path), read=seen)).body) >= seen - 1000
        program.kill()
        await program.wait()
        program = await _started(tmp_path, upstream, port)
        try:
            assert (await raw(port, get(path))).body == BLOB
        finally:
            program.terminate()
            await program.wait()
        again = [entry.headers["range"] for entry in upstream.ledger if entry.kind == "blobs" and "range" in entry.headers]
        starts = [int(header.removeprefix("bytes=").partition("-")[0]) for header in again]
        assert starts[1:].count(0) == 0, "nothing is fetched from its beginning again"
        assert upstream.sent_blob_bytes() < SIZE + 9 * 1024 * 1024
        assert list((tmp_path / "store" / "ingest").iterdir()) == []
