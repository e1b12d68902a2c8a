"""A crowd at a pace: `python -m bench.paced [--clients 1000] [--megabytes 64] [--pace 16] [--seconds 60]`.

Clients that all ask for one cold blob at once and read it at a pace, no faster. What upstream had to send, when the last of them was done,
and how much memory the largest process took; then as many readers that are very slow, and whether memory stays. The ideal is what the same
clients get on the same machine from nginx out of a file: with many of them the machine is the limit, not their pace.
"""

import argparse
import asyncio
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from bench import processes
from bench.crowd import Asked, crowd
from bench.peers import Peer, Upstream, nginx, regproxy
from regproxy.oci.digest import Digest
from tests.fakes.registry import FakeRegistry

_MB = 1_000_000
_NAME = "library/app"
_CRAWL = 20_000  # bytes per second of a very slow reader
_LONGEST = 900.0  # seconds


@dataclass(frozen=True)
class Crowd:
    """What a crowd got: seconds until the slowest was done, from nginx and through regproxy; times the blob; MiB of the largest process."""

    clients: int
    ideal: float
    slowest: float
    upstream: float
    memory: float


async def _slowest(peer: Peer, digest: Digest, clients: int, pace: float) -> float:
    """Tell when the last client was done; raise `RuntimeError` where one of them did not get all of it."""
    seen = await crowd(Asked(peer.port, _path(digest), str(digest), clients, pace * _MB, _LONGEST))
    if (right := sum(one.is_right for one in seen)) != clients:
        raise RuntimeError(f"only {right} of {clients} clients got all of it")
    return max(one.last for one in seen)


async def measured(clients: int, body: bytes, pace: float, root: Path, crawling: float = 0.0) -> Crowd:
    """Serve one crowd by nginx, and another by a regproxy that has nothing; then look at its memory for so many seconds of *crawling*."""
    digest = Digest.of(body)
    for name in ("files", "nginx", "regproxy"):
        (root / name).mkdir()
    file = root / "files" / _path(digest).removeprefix("/")
    file.parent.mkdir(parents=True)
    file.write_bytes(body)
    async with nginx(root / "files", root / "nginx") as peer:
        ideal = await _slowest(peer, digest, clients, pace)
    print(f"nginx     {clients} clients of {len(body) / _MB:.0f} MB, {pace:g} MB/s each: the slowest took {ideal:.1f} s", flush=True)
    async with FakeRegistry("anonymous") as upstream:
        upstream.add_blob(_NAME, body)
        async with regproxy(Upstream(upstream.url), root / "regproxy") as peer:
            slowest = await _slowest(peer, digest, clients, pace)
            sent, memory = upstream.sent_blob_bytes() / len(body), processes.peak(peer.pid)
            took = f"{slowest:.1f} s, {slowest / ideal:.2f} times as long"
            print(f"regproxy  {took}; upstream sent {sent:.2f}x, the largest process took {memory:.0f} MiB", flush=True)
            if crawling:
                await _crawl(peer, digest, clients, crawling)
    return Crowd(clients, ideal, slowest, sent, memory)


async def _crawl(peer: Peer, digest: Digest, clients: int, seconds: float) -> None:
    """Look at memory while all of them read very slowly."""
    before = processes.memory(peer.pid)
    reading = asyncio.create_task(crowd(Asked(peer.port, _path(digest), "", clients, _CRAWL, seconds)))
    found = []
    for _ in range(4):
        await asyncio.sleep(seconds / 5)
        found.append(f"{processes.memory(peer.pid):.0f}")
    served = sum(one.size > _CRAWL * seconds / 2 for one in await reading)
    print(f"regproxy  {served} slow readers for {seconds:g} s: {before:.0f} MiB before, then {', '.join(found)}")


def _path(digest: Digest) -> str:
    return f"/v2/{_NAME}/blobs/{digest}"


def main() -> None:
    """Parse the arguments and measure once."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=1000)
    parser.add_argument("--megabytes", type=int, default=64)
    parser.add_argument("--pace", type=float, default=16, help="MB/s that a client reads at most")
    parser.add_argument("--seconds", type=float, default=60, help="for which the slow readers read")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as root:
        body = os.urandom(arguments.megabytes * _MB)
        asyncio.run(measured(arguments.clients, body, arguments.pace, Path(root), arguments.seconds))


if __name__ == "__main__":
    main()
