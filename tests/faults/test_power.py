"""A power cut: what had not reached the disk is lost; by row."""

import asyncio
import hashlib
import os
import random
import shutil
from pathlib import Path

import aiohttp

from tests.fakes.registry import FakeRegistry
from tests.fakes.served import Served
from tests.fakes.volume import ext4

MIB = 1024 * 1024


def _wrong(root: Path) -> list[str]:
    files = [path for path in (root / "blobs").rglob("*") if path.is_file()]
    return [path.name for path in files if hashlib.sha256(path.read_bytes()).hexdigest() != path.name]


async def test_d27_no_valid_name_stands_over_wrong_bytes_after_a_power_cut(upstream: FakeRegistry, tmp_path: Path) -> None:
    """The disk as it is at a moment, without what the kernel still holds back, is mounted again."""
    chance = random.Random(27)
    bodies = [os.urandom(chance.randrange(1, MIB)) for _ in range(16)]
    digests = [upstream.add_blob("library/app", body) for body in bodies]
    with ext4(tmp_path / "disk", tmp_path / "before") as volume:
        served = Served(volume / "store", upstream)
        async with aiohttp.ClientSession() as session, served.running(session):
            pulls = [served.pull(session, "library/app", f"blobs/{digest}") for digest in digests]
            assert [body == wanted for body, wanted in zip(await asyncio.gather(*pulls), bodies, strict=True)] == [True] * 16
            # The last bytes are out, and the last files are on their way to the disk.
            await asyncio.to_thread(shutil.copyfile, tmp_path / "disk", tmp_path / "cut")
    with ext4(tmp_path / "cut", tmp_path / "after") as volume:
        assert await asyncio.to_thread(_wrong, volume / "store") == []
        served = Served(volume / "store", upstream)
        async with aiohttp.ClientSession() as session, served.running(session):
            for digest, body in zip(digests, bodies, strict=True):
                assert await served.pull(session, "library/app", f"blobs/{digest}") == body
