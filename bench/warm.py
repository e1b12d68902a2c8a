"""A warm-up beside clients: `python -m bench.warm [--images 40] [--megabytes 3] [--pairs 8]`.

Images of five layers, of which each shares two with others, come from a registry that counts pulls and sends at a rate, while clients at a
pace ask for what is cached. Seconds with a part of the warm-up and seconds without it stand side by side: what counts is the ratio
of the p99s of each pair. Then all of it once more in an empty store, killed by SIGKILL in the middle.
"""

import argparse
import asyncio
import multiprocessing
import os
import random
import signal
import socket
import statistics
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from bench import processes
from bench.peers import Peer, Upstream, regproxy
from bench.ratios import Ratio
from tests.fakes.deeds import Counted, Paced
from tests.fakes.entry import on
from tests.fakes.registry import FakeRegistry
from tests.rig import LOOPBACK

_LAYERS, _SHARED = 5, (3, 7)  # of an image; how many others there are of each of its shared layers
_REPOSITORIES = 4
_RATE = 8e6  # bytes per second of each of upstream's responses
_HITS = 300  # a second
_CLIENTS = 8
_TURN = 3.0  # seconds
_HOT = "library/hot"


@dataclass(frozen=True)
class Slowdown:
    """Two turns side by side: the p99 of hits in ms without and with a warm-up, and for how much of its turn that went on."""

    quiet: float
    warming: float
    share: float

    def __str__(self) -> str:
        return f"p99 of hits {self.quiet:.2f} ms, {self.warming:.2f} ms during {self.share:.0%} of a warm-up"


@dataclass(frozen=True)
class WarmUp:
    """What a warm-up took and cost: seconds, bytes over those of its blobs, pulls that upstream counted, and that it refused."""

    images: int
    megabytes: float
    seconds: float
    bytes_ratio: float
    pulls: int
    refused: int
    resumed_bytes_ratio: float
    pairs: tuple[Slowdown, ...]

    @property
    def slowdown(self) -> Ratio:
        """How much later hits were during the warm-up."""
        return Ratio.of([pair.warming / pair.quiet for pair in self.pairs])

    def p99(self) -> tuple[float, float]:
        """Return the median p99 without and with the warm-up, in ms."""
        return statistics.median(pair.quiet for pair in self.pairs), statistics.median(pair.warming for pair in self.pairs)


def hits(port: int, path: str, seconds: float, seed: int) -> list[float]:
    """Ask for *path* at a pace over a few connections, and return how many seconds each response was late."""
    chance = random.Random(seed)
    request = f"GET {path} HTTP/1.1\r\nHost: {LOOPBACK}\r\n\r\n".encode()
    connections = [socket.create_connection((LOOPBACK, port), 30) for _ in range(_CLIENTS)]
    found = []
    for each in connections:
        _answer(each, request)
    began = due = time.monotonic()
    while due < began + seconds:
        time.sleep(max(0.0, due - time.monotonic()))
        connection = chance.choice(connections)
        _answer(connection, request)
        found.append(time.monotonic() - due)
        due += chance.expovariate(_HITS)
    for each in connections:
        each.close()
    return found


def _answer(connection: socket.socket, request: bytes) -> bytes:
    connection.sendall(request)
    found = b""
    while b"\r\n\r\n" not in found:
        found += connection.recv(65536)
    head = found.partition(b"\r\n\r\n")[0].lower()
    if not head.startswith(b"http/1.1 200 "):
        raise RuntimeError(head.decode())
    size = len(head) + 4 + int(head.partition(b"content-length: ")[2].partition(b"\r")[0])
    while len(found) < size:
        found += connection.recv(65536)
    return found


def stocked(upstream: FakeRegistry, images: int, size: int) -> list[str]:
    """Put images of layers of *size* bytes into the upstream, and return their names."""
    shared = {(of, number): os.urandom(size) for of in _SHARED for number in range(of)}
    names = []
    for number in range(images):
        name = f"team/app{number % _REPOSITORIES}"
        own = [os.urandom(size) for _ in range(_LAYERS - len(_SHARED))]
        upstream.add_image(name, str(number), [*(shared[of, number % of] for of in _SHARED), *own])
        names.append(f"docker.io/{name}:{number}")
    return names


def needed(upstream: FakeRegistry) -> int:
    """Add up the bytes of all blobs to be warmed, each once."""
    blobs = {digest: len(body) for name, held in upstream.repositories.items() if name != _HOT for digest, body in held.blobs.items()}
    return sum(blobs.values())


async def measured(images: int, megabytes: float, pairs: int) -> list[WarmUp]:
    """Warm *images* in as many parts as there are *pairs* of turns, and then all of them with a kill in the middle."""
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as directory, ProcessPoolExecutor(1, context) as client:
        async with FakeRegistry("anonymous") as upstream:
            names = stocked(upstream, images, int(megabytes * 1e6))
            total = needed(upstream)
            path = f"/v2/{_HOT}/blobs/{upstream.add_blob(_HOT, bytes(4_000))}"
            upstream.misbehave(on("GET", "/blobs/"), Paced(_RATE))
            counted = Counted(limit=2 * images)
            upstream.misbehave(on("GET", "/manifests/"), counted)
            root = Path(directory) / "once"
            root.mkdir()
            found, seconds = [], 0.0
            async with regproxy(Upstream(upstream.url), root) as peer:
                for number in range(pairs):
                    part = names[number * images // pairs : (number + 1) * images // pairs]
                    pair, took = await _turns(client, peer, path, part, number)
                    found.append(pair)
                    seconds += took
                    print(pair, flush=True)
            cost = _sent(upstream) / total, counted.asked, max(0, counted.asked - counted.limit)
            upstream.ledger.clear()
            counted.asked = 0
            root = Path(directory) / "killed"
            root.mkdir()
            resumed = await _killed(upstream, root, names, total)
    row = WarmUp(images, total / 1e6, seconds, *cost, resumed, tuple(found))
    print(line(row), flush=True)
    return [row]


async def _turns(client: ProcessPoolExecutor, peer: Peer, path: str, part: Sequence[str], number: int) -> tuple[Slowdown, float]:
    """Measure hits with the warm-up of *part* and without one, the first of them in turns; return also how long it took."""
    loop = asyncio.get_running_loop()

    async def turn() -> float:
        late = await loop.run_in_executor(client, hits, peer.port, path, _TURN, number)
        return 1000 * statistics.quantiles(late, n=100)[98]

    quiet = await turn() if number % 2 else 0.0
    warming = asyncio.create_task(_warmed(peer, part))
    during = await turn()
    took = await warming
    quiet = quiet or await turn()
    return Slowdown(quiet, during, min(1.0, took / _TURN)), took


async def _warmed(peer: Peer, names: Sequence[str]) -> float:
    """Warm images up, and return how many seconds that took."""
    began = time.monotonic()
    async with aiohttp.ClientSession(f"http://{LOOPBACK}:{peer.admin_port}") as session:
        async with session.post("/api/v1/warm", json={"images": list(names), "parallel": 2}) as response:
            number = (await response.json())["id"]
        await _over(session, number)
    return time.monotonic() - began


async def _over(session: aiohttp.ClientSession, number: int) -> None:
    """Wait for the end of a job; raise `RuntimeError` where some of it failed."""
    while True:
        async with session.get(f"/api/v1/warm/{number}") as response:
            job = await response.json()
        if job["state"] == "done":
            return
        if job["state"] not in {"queued", "running"}:
            raise RuntimeError(str([each["reason"] for each in job["images"] if each["reason"]]))
        await asyncio.sleep(0.05)


async def _killed(upstream: FakeRegistry, root: Path, names: Sequence[str], total: int) -> float:
    """Kill a warm-up when half of it is here, start again, and return how many times its bytes upstream sent until it was done."""
    with suppress(ProcessLookupError):  # it cannot be ended any more
        async with regproxy(Upstream(upstream.url), root) as peer:
            warming = asyncio.create_task(_warmed(peer, names))
            while _sent(upstream) < total / 2 and not warming.done():  # noqa: ASYNC110  the registry tells nobody
                await asyncio.sleep(0.02)
            for pid in processes.tree(peer.pid):
                os.kill(pid, signal.SIGKILL)
            await asyncio.gather(warming, return_exceptions=True)
    async with regproxy(Upstream(upstream.url), root) as peer, aiohttp.ClientSession(f"http://{LOOPBACK}:{peer.admin_port}") as session:
        await _over(session, 1)
    return _sent(upstream) / total


def _sent(upstream: FakeRegistry) -> int:
    """Return how many bytes of blobs that are warmed were sent."""
    return sum(entry.sent for entry in upstream.ledger if entry.kind == "blobs" and entry.repository != _HOT)


def line(row: WarmUp) -> str:
    """Say what came out."""
    late = row.p99()
    return (
        f"{row.images} images, {row.megabytes:.0f} MB: {row.seconds:.1f} s, {row.bytes_ratio:.3f}x the bytes, {row.pulls} pulls,"
        f" {row.refused} refused; p99 of hits {late[0]:.2f} ms, during the warm-up {late[1]:.2f} ms, {row.slowdown};"
        f" killed and resumed {row.resumed_bytes_ratio:.3f}x"
    )


def main() -> None:
    """Parse the arguments and measure once."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=40)
    parser.add_argument("--megabytes", type=float, default=3, help="of a layer")
    parser.add_argument("--pairs", type=int, default=8)
    arguments = parser.parse_args()
    asyncio.run(measured(arguments.images, arguments.megabytes, arguments.pairs))


if __name__ == "__main__":
    main()
