"""Slow readers: what a peer holds in memory for them, and whether that grows."""

import asyncio
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import processes
from bench.caches import CACHES
from bench.crowd import Asked, crowd
from bench.hits import serving
from bench.origin import image

_RATE = 20_000  # bytes per second and client


@dataclass(frozen=True)
class Slow:
    """What a peer held, in MiB: before, when all clients had begun, in the end, and how many of them had been served all the while."""

    peer: str
    clients: int
    seconds: float
    before: float
    early: float
    late: float
    served: int


async def measured(names: Sequence[str], clients: int, seconds: float) -> list[Slow]:
    """Measure the peers one after the other."""
    served = image({"blob": 64_000_000})
    found: list[Slow] = []
    with tempfile.TemporaryDirectory() as directory:
        async with serving(served, Path(directory), {name: CACHES[name].start for name in names}) as peers:
            for name in names:
                peer, path = peers[name], served.paths()["blob"]
                await crowd(Asked(peer.port, path, path.partition("blobs/")[2], 1))
                before = processes.memory(peer.pid)
                reading = asyncio.create_task(crowd(Asked(peer.port, path, "", clients, _RATE, seconds)))
                await asyncio.sleep(seconds / 3)
                early = processes.memory(peer.pid)
                await asyncio.sleep(seconds / 2)
                late = processes.memory(peer.pid)
                steady = sum(one.size > _RATE * seconds / 2 for one in await reading)
                found.append(Slow(name, clients, seconds, before, early, late, steady))
                print(
                    f"{name:<16} {clients} slow readers: {before:.0f} MiB before, {early:.0f} early, {late:.0f} late, {steady} served",
                    flush=True,
                )
    return found
