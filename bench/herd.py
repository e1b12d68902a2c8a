"""A herd on one cold blob: `python -m bench.herd [--peer regproxy] [--clients 1000] [--megabytes 64] [--rate 16]`.

A peer between an upstream that sends at a rate and clients that all ask at once. What upstream had to send, when the first byte came, when
the last client was done, and how much memory the peer held.
"""

import argparse
import asyncio
import os
import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path

from bench import processes
from bench.caches import CACHES
from bench.crowd import Asked, crowd
from bench.peers import Upstream
from tests.fakes.deeds import Paced
from tests.fakes.entry import on
from tests.fakes.registry import FakeRegistry

_MB = 1_000_000
_NAME = "library/app"


@dataclass(frozen=True)
class Herd:
    """What a herd cost; seconds, and MiB of the largest process."""

    peer: str
    clients: int
    megabytes: int
    right: int
    upstream: float  # times the blob
    first_median: float
    first_p99: float
    slowest: float
    ideal: float
    memory: float

    def __str__(self) -> str:
        cost = f"upstream sent {self.upstream:.2f}x, {self.memory:.0f} MiB"
        first = f"first byte p50 {self.first_median:.2f} s p99 {self.first_p99:.2f} s"
        last = f"slowest {self.slowest:.2f} s, upstream takes {self.ideal:.2f} s"
        return f"{self.peer:<16} {self.clients:>5} clients, {self.right} right, {cost}, {first}, {last}"


async def measured(peer: str, clients: int, megabytes: int, rate: float) -> Herd:
    """Measure one herd; the upstream sends *rate* MB/s."""
    body = os.urandom(megabytes * _MB)
    with tempfile.TemporaryDirectory() as root:
        async with FakeRegistry("anonymous" if CACHES[peer].gets_tokens else None) as upstream:
            digest = upstream.add_blob(_NAME, body)
            upstream.misbehave(on("GET", "/blobs/"), Paced(rate * _MB))
            async with CACHES[peer].start(Upstream(upstream.url), Path(root)) as running:
                seen = await crowd(Asked(running.port, f"/v2/{_NAME}/blobs/{digest}", str(digest), clients))
                memory = processes.peak(running.pid)
            sent = upstream.sent_blob_bytes() / len(body)
    firsts = sorted(one.first for one in seen)
    return Herd(
        *(peer, clients, megabytes, sum(one.is_right for one in seen), sent),
        *(statistics.median(firsts), firsts[int(0.99 * (len(firsts) - 1))], max(one.last for one in seen), megabytes / rate, memory),
    )


def main() -> None:
    """Parse the arguments and measure once."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", choices=CACHES, default="regproxy")
    parser.add_argument("--clients", type=int, default=1000)
    parser.add_argument("--megabytes", type=int, default=64)
    parser.add_argument("--rate", type=float, default=16, help="MB/s that upstream sends")
    arguments = parser.parse_args()
    print(asyncio.run(measured(arguments.peer, arguments.clients, arguments.megabytes, arguments.rate)))


if __name__ == "__main__":
    main()
