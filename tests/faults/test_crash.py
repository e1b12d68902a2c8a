"""Kill -9 at any moment: no valid name stands over wrong bytes, and nothing is left over. REGPROXY_KILLS=200 for all of D01."""

import asyncio
import contextlib
import hashlib
import os
import random
import sqlite3
import sys
from pathlib import Path

import aiohttp

from tests.fakes.registry import FakeRegistry
from tests.fakes.served import Served

KILLS = int(os.environ.get("REGPROXY_KILLS", "6"))
MIB = 1024 * 1024


def _stored(root: Path) -> list[Path]:
    return [path for path in (root / "blobs").rglob("*") if path.is_file()]


def _wrong(root: Path) -> list[str]:
    return [path.name for path in _stored(root) if hashlib.sha256(path.read_bytes()).hexdigest() != path.name]


def _recorded(root: Path) -> set[str]:
    with contextlib.closing(sqlite3.connect(root / "index.db")) as connection:
        return {digest.partition(":")[2] for (digest,) in connection.execute("SELECT digest FROM content")}


def _taken(root: Path) -> int:
    return sum(path.stat().st_blocks * 512 for path in _stored(root))


def _is_in_order(root: Path) -> bool:
    """Look whether everything is recorded, nothing else is, and orphans that were one too many have gone again."""
    return _recorded(root) == {path.name for path in _stored(root)} and _taken(root) <= 12 * MIB


async def test_d01_killed_at_random_moments_it_starts_again_and_every_byte_is_right(upstream: FakeRegistry, tmp_path: Path) -> None:
    """Fills, evictions and their records are cut at any point: the store holds half of what is pulled."""
    chance = random.Random(5)
    bodies = [os.urandom(chance.randrange(1, 2 * MIB)) for _ in range(20)]
    for number, body in enumerate(bodies):
        upstream.add_image(f"library/app{number}", "1", [body])
    served = Served(tmp_path / "store", upstream)

    async def pull_all(session: aiohttp.ClientSession) -> None:
        while True:
            number = chance.randrange(len(bodies))
            manifest = await served.pull(session, f"library/app{number}", "manifests/1")
            assert manifest
            digest = hashlib.sha256(bodies[number]).hexdigest()
            assert await served.pull(session, f"library/app{number}", f"blobs/sha256:{digest}") == bodies[number]

    async with aiohttp.ClientSession() as session:
        for _ in range(KILLS):
            async with served.running(session):
                pulling = [asyncio.create_task(pull_all(session)) for _ in range(4)]
                done, _ = await asyncio.wait(pulling, timeout=chance.uniform(0, 0.6))
                assert not done
            endings = await asyncio.gather(*pulling, return_exceptions=True)
            assert [ending for ending in endings if not isinstance(ending, aiohttp.ClientError)] == []
            assert await asyncio.to_thread(_wrong, served.root) == []
        async with served.running(session):
            async with asyncio.timeout(300):
                while not _is_in_order(served.root):  # noqa: ASYNC110 -- as above
                    await asyncio.sleep(0.05)
        # What a kill left unfinished stays for whoever asks for it next: nothing but beginnings of what was pulled.
        left = await asyncio.to_thread(_left, served.root)
        known = [*bodies, *upstream_manifests(upstream)]
        assert [part[:16] for part in left if not any(body.startswith(part) for body in known)] == []


async def test_d20_a_second_server_on_the_same_store_is_refused(upstream: FakeRegistry, tmp_path: Path) -> None:
    first = Served(tmp_path / "store", upstream)
    async with aiohttp.ClientSession() as session, first.running(session):
        config = str((tmp_path / "store").with_suffix(".yaml"))
        command = [sys.executable, "-m", "regproxy", "serve", "--config", config]
        second = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)
        _, stderr = await second.communicate()
        assert second.returncode == 1
        assert b"is in use by process" in stderr


def _left(root: Path) -> list[bytes]:
    return [path.read_bytes() for path in (root / "ingest").iterdir()]


def upstream_manifests(upstream: FakeRegistry) -> list[bytes]:
    return [held.body for stored in upstream.repositories.values() for held in stored.manifests.values()]
