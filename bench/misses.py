"""Cold blobs. From a registry on this machine directly, and through each peer, each time another blob."""

import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.hits import serving
from bench.origin import image

_MB = 1_000_000
_TOUCHED = 600  # MiB, more than a blob takes twice


@dataclass(frozen=True)
class Miss:
    """What one cold blob took from whom: seconds to the first and the last byte."""

    peer: str
    megabytes: int
    round: int
    first: float
    total: float


async def fetched(url: str) -> tuple[float, float]:
    """Fetch by curl; give seconds to the first and the last byte."""
    arguments = ("-s", "--fail", "-o", os.devnull, "-w", "%{time_starttransfer} %{time_total}", url)
    curl = await asyncio.create_subprocess_exec("curl", *arguments, stdout=asyncio.subprocess.PIPE)
    said, _ = await curl.communicate()
    if curl.returncode:
        raise RuntimeError(f"curl could not get {url}: {curl.returncode}")
    first, last = map(float, said.split())
    return first, last


def settle(directory: Path) -> None:
    """Let what the one before began come to its end, and leave memory that is at hand.

    A virtual machine gives free memory back to its host: to touch it for the first time costs several times the copy.
    """
    os.sync()
    with tempfile.TemporaryFile(dir=directory) as file:
        for _ in range(_TOUCHED):
            file.write(bytes(1024 * 1024))
    time.sleep(1)


async def measured(sizes: list[int], rounds: int) -> list[Miss]:
    """Measure cold blobs of so many megabytes, the peers in turns."""
    served = image({f"{size} {number}": size * _MB for size in sizes for number in range(rounds)})
    paths = served.paths()
    found: list[Miss] = []
    with tempfile.TemporaryDirectory() as directory:
        async with serving(served, Path(directory)) as peers:
            for size in sizes:
                for number in range(rounds):
                    for name, peer in peers.items():
                        if name == "nginx":
                            continue
                        await asyncio.to_thread(settle, Path(directory))
                        found.append(Miss(name, size, number, *await fetched(peer.url(paths[f"{size} {number}"]))))
                        print(f"{name:<16} {size:>4} MB cold: first byte {found[-1].first:.3f} s, all {found[-1].total:.3f} s", flush=True)
    return found


def medians(misses: list[Miss]) -> Mapping[tuple[int, str], tuple[float, float]]:
    """Take the medians of the first and the last byte, for each size and peer."""
    rounds: dict[tuple[int, str], list[Miss]] = {}
    for miss in misses:
        rounds.setdefault((miss.megabytes, miss.peer), []).append(miss)
    return {
        key: (statistics.median(one.first for one in same), statistics.median(one.total for one in same)) for key, same in rounds.items()
    }
