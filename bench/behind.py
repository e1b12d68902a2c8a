"""A disk that is lost, with a distributed object store behind it: `python -m bench.behind [--megabytes 256] [--layers 5] [--rounds 3]`.

An image is pulled, and written to SeaweedFS behind the pull; then from the disk. The replica and its disk are destroyed, and upstream is
dead: another replica serves the image from the object store, verified. How long that takes, over the pull from the disk.
"""

import argparse
import asyncio
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from bench import seaweed
from bench.origin import Image, image, pull, push
from bench.peers import Peer, Upstream, origin, regproxy
from tests.rig import LOOPBACK

_MB = 1_000_000
_DEAD = Upstream("http://127.0.0.1:9")
_KEY = "a-key-of-the-bench-0123456789abcdef0123456789abcdef"
_WRITTEN = "regproxy_object_store_written_bytes_total"
_LONGEST = 300.0  # seconds


@dataclass(frozen=True)
class Lost:
    """Seconds of the cold pull, from then until all is in the object store, of a pull from the disk, and of one after the disk is lost."""

    round: int
    cold: float
    written: float
    disk: float
    lost: float


async def _once(number: int, served: Image, upstream: Upstream, s3: str, root: Path) -> Lost:
    def settings(name: str) -> Mapping[str, object]:
        """Have a disk, and a bucket behind it; each round has a place of its own there."""
        behind = {"url": f"s3://{seaweed.BUCKET}/{number}", "endpoint": s3, "key": _KEY}
        return {"root": str(root / name / "store"), "high_watermark": "100%", "behind": behind}

    size = sum(map(len, served.blobs.values()))
    for name in ("one", "two"):
        (root / name).mkdir(parents=True)
    async with regproxy(upstream, root / "one", store=settings("one")) as peer:
        cold, began = await pull(peer, served), time.perf_counter()
        async with asyncio.timeout(_LONGEST):
            while await peer.metric(_WRITTEN) < size:  # noqa: ASYNC110  another process: nobody could set an event
                await asyncio.sleep(0.1)
        written = time.perf_counter() - began
        await _push(peer)
        disk = statistics.median([await pull(peer, served) for _ in range(3)])
    shutil.rmtree(root / "one")
    async with regproxy(_DEAD, root / "two", store=settings("two")) as peer:
        return Lost(number, cold, written, disk, await pull(peer, served))


async def _push(peer: Peer) -> None:
    """Wait until the rest is there too, such as what the tag means."""
    url = f"http://{LOOPBACK}:{peer.admin_port}/api/v1/store/push"
    async with aiohttp.ClientSession() as session, session.post(url, json={}) as answer:
        answer.raise_for_status()
        await answer.read()


async def measured(megabytes: int, layers: int, rounds: int) -> list[Lost]:
    """Lose the disk *rounds* times, each time with another image."""
    found: list[Lost] = []
    os.environ.update(seaweed.CREDENTIALS)
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        (root / "origin").mkdir()
        async with origin(root / "origin") as registry, seaweed.cluster(root / "seaweed") as s3:
            for number in range(rounds):
                served = image({str(layer): megabytes * _MB // layers for layer in range(layers)}, seed=number)
                await asyncio.to_thread(push, registry, served)
                found.append(await _once(number, served, Upstream(registry.url("")), s3, root / str(number)))
                print(found[-1], flush=True)
    return found


def main() -> None:
    """Parse the arguments and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=256)
    parser.add_argument("--layers", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    found = asyncio.run(measured(arguments.megabytes, arguments.layers, arguments.rounds))
    print(f"after the disk is lost, of the speed of the disk: {statistics.median(each.disk / each.lost for each in found):.2f}")


if __name__ == "__main__":
    main()
