"""A few replicas on this machine: `python -m bench.replicas [--clients 300] [--megabytes 64] [--rate 20] [--rounds 3]`, as root.

Cold: all clients pull one image of five layers at once, spread over the replicas as a Service does, from a registry with tokens whose line
carries *rate* MB/s: one replica, three that are one fleet, without Redis, and three of which one is killed in the middle, whose clients go
on at another one. Then hits by wrk, and a herd on one cold blob, for 1, 2 and 4 replicas.

Writes bench/results/replicas.md. It takes five minutes, in which the machine should have nothing else to do.
"""

import argparse
import asyncio
import contextlib
import os
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import network, processes
from bench.crowd import Asked, Seen, crowd
from bench.hits import wrk
from bench.machine import Busy, described
from bench.network import Network
from bench.peers import RESULTS, Peer, Upstream, complaints, regproxy
from bench.ratios import Ratio
from regproxy.oci.digest import Digest
from tests.fakes.registry import FakeRegistry
from tests.free_port import free_port
from tests.rig import LOOPBACK

_MB = 1_000_000
_NAME = "team/app"
_KEY = "a-key-of-the-bench-0123456789abcdef0123456789abcdef"
_LAYERS = 5
_SMALL = 100_000  # bytes of a blob that is hit
_HERD = 32  # MB
_COUNTS = (1, 2, 4)
_LOOK = 0.02  # seconds
_LOOKS = 49  # clients, one of which looks at the bytes: no multiple of the layers


@dataclass(frozen=True)
class Start:
    """A cold image for all clients: seconds until the last one has it, and what the registry was asked for."""

    replicas: str
    right: int
    clients: int
    slowest: float
    sent: float  # times the image
    tokens: int
    tags: int
    again: int  # layers that were asked for once more
    cores: float

    def row(self) -> str:
        cells = [
            self.replicas,
            f"{self.right} of {self.clients}",
            f"{self.slowest:.2f}",
            f"{self.sent:.2f}x",
            *map(str, (self.tokens, self.tags, self.again)),
            f"{self.cores:.2f}",
        ]
        return f"| {' | '.join(cells)} |"


@dataclass(frozen=True)
class Several:
    """What some replicas do together: hits per second and microseconds of their processors, and a herd on one cold blob."""

    replicas: int
    tags: float
    tag_cpu: float
    blobs: float
    blob_cpu: float
    herd: float  # seconds until the last client was done
    sent: float  # times the blob
    right: int
    memory: float  # MiB, all processes

    def row(self) -> str:
        cells = [str(self.replicas), f"{self.tags:,.0f}", f"{self.tag_cpu:.0f}", f"{self.blobs:,.0f}", f"{self.blob_cpu:.0f}"]
        return f"| {' | '.join([*cells, f'{self.herd:.2f}', f'{self.sent:.2f}x', str(self.right), f'{self.memory:.0f}'])} |"


@asynccontextmanager
async def running(count: int, registry: FakeRegistry, root: Path) -> AsyncIterator[list[Peer]]:
    """Run replicas that are one fleet; one alone is in none."""
    ports = [free_port() for _ in range(count)]
    peers = [f"http://{LOOPBACK}:{port}" for port in ports]
    async with AsyncExitStack() as stack:
        found = []
        for port in ports:
            (own := root / str(port)).mkdir(parents=True)
            upstream = Upstream(registry.url, registry.username, registry.password)
            fleet = {"peers": peers, "key": _KEY, "advertise": f"http://{LOOPBACK}:{port}"} if count > 1 else None
            replica = regproxy(upstream, own, port=port, insecure_credentials=True, fleet=fleet)
            found.append(await stack.enter_async_context(replica))
        yield found


@asynccontextmanager
async def _registry(net: Network, rate: float) -> AsyncIterator[FakeRegistry]:
    """Run a registry with tokens behind a line of its own."""
    computer = net.computer(rate)
    registry = FakeRegistry("password", address=computer.address)
    with network.inside(str(computer.namespace)):
        await registry.__aenter__()
    try:
        yield registry
    finally:
        await registry.__aexit__(None, None, None)


def asked(peers: Sequence[Peer], blobs: Sequence[tuple[str, str]], clients: int) -> Asked:
    """Spread *clients* over replicas; each asks for all *blobs*, which are paths and digests."""
    (path, digest), *more = blobs
    port, *ports = [each.port for each in peers]
    return Asked(port, path, digest, clients * len(blobs), every=_LOOKS, more_ports=tuple(ports), more_blobs=tuple(more))


async def _started(name: str, count: int, net: Network, clients: int, size: int, rate: float, root: Path, *, kills: bool = False) -> Start:
    async with _registry(net, rate) as registry, running(count, registry, root) as peers:
        layers = [os.urandom(size // _LAYERS) for _ in range(_LAYERS)]
        registry.add_image(_NAME, "1", layers)
        blobs = [(f"/v2/{_NAME}/blobs/{digest}", str(digest)) for digest in registry.repositories[_NAME].blobs]
        manifest = registry.repositories[_NAME].tags["1"]
        busy, began = Busy(), time.monotonic()
        first = await crowd(asked(peers, [(f"/v2/{_NAME}/manifests/1", str(manifest))], clients))
        pulling = asyncio.create_task(crowd(asked(peers, blobs, clients)))
        if kills:
            while registry.sent_blob_bytes() < size / 2:  # noqa: ASYNC110  it counts, and tells nobody
                await asyncio.sleep(_LOOK)
            for process in processes.tree(peers[-1].pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
        seen = await pulling
        took, cores = time.monotonic() - began, busy.cores()
        tags = [each for each in registry.ledger if each.kind == "manifests" and each.reference == "1" and each.status == 200]
        sent = registry.sent_blob_bytes() / sum(map(len, layers))
        right = _whole(first, seen, len(blobs))
        return Start(name, right, clients, took, sent, len(registry.issued), len(tags), sum(each.tries - 1 for each in seen), cores)


def _whole(manifests: Sequence[Seen], blobs: Sequence[Seen], each: int) -> int:
    """Count the clients that got all of it; `bench.crowd` gives *each* client's blobs one after the other."""
    found = [blobs[start : start + each] for start in range(0, len(blobs), each)]
    return sum(manifest.is_right and all(blob.is_right for blob in own) for manifest, own in zip(manifests, found, strict=True))


async def _several(count: int, net: Network, clients: int, seconds: int, rate: float, root: Path) -> Several:
    async with _registry(net, rate) as registry, running(count, registry, root) as peers:
        small, large = os.urandom(_SMALL), os.urandom(_HERD * _MB)
        registry.add_image(_NAME, "1", [small])
        digest = registry.add_blob(_NAME, large)
        tags = await _hits(peers, f"/v2/{_NAME}/manifests/1", seconds)
        blobs = await _hits(peers, f"/v2/{_NAME}/blobs/{Digest.of(small)}", seconds)
        before = registry.sent_blob_bytes()
        seen = await crowd(asked(peers, [(f"/v2/{_NAME}/blobs/{digest}", str(digest))], clients))
        sent = (registry.sent_blob_bytes() - before) / len(large)
        memory = sum(processes.memory(each.pid) for each in peers)
        return Several(count, *tags, *blobs, max(each.last for each in seen), sent, sum(each.is_right for each in seen), memory)


async def _hits(peers: Sequence[Peer], path: str, seconds: int) -> tuple[float, float]:
    """Ask all replicas at once; give requests per second, and microseconds of their processors for each."""
    await asyncio.gather(*(wrk(each.url(path), 1, 2) for each in peers))  # fetches it, and warms up
    before = sum(processes.cpu(each.pid) for each in peers)
    found = await asyncio.gather(*(wrk(each.url(path), seconds, 64 // len(peers)) for each in peers))
    rate = sum(each[0] for each in found)
    if failed := sum(each[2] for each in found):
        raise RuntimeError(f"{failed} requests for {path} failed")
    return rate, 1e6 * (sum(processes.cpu(each.pid) for each in peers) - before) / (rate * seconds)


async def _measured(clients: int, megabytes: int, rate: float, rounds: int, seconds: int, root: Path, *, says: bool) -> str:
    net, size = Network(), megabytes * _MB
    starts: dict[str, list[Start]] = {}
    for number in range(rounds):
        for name, count, kills in (("1", 1, False), ("3", 3, False), ("3, one killed", 3, True)):
            own = root / f"start {number} {name}"
            found = await _started(name, count, net, clients, size, rate, own, kills=kills)
            starts.setdefault(name, []).append(found)
            print(found.row(), flush=True)
            if says:
                print("\n".join(await asyncio.to_thread(complaints, own)), flush=True)
    several = []
    for count in _COUNTS:
        several.append(await _several(count, net, clients, seconds, rate, root / f"several {count}"))
        print(several[-1].row(), flush=True)
    return _page(starts, several, clients, megabytes, rate)


def _page(starts: dict[str, list[Start]], several: Sequence[Several], clients: int, megabytes: int, rate: float) -> str:
    cold = [each.row() for found in starts.values() for each in sorted(found, key=lambda each: each.slowest)]
    ones = [each.slowest for each in starts["1"]]
    ratios = [
        f"{name}: {Ratio.of([each.slowest / one for each, one in zip(found, ones, strict=True)])} times as long as one replica"
        for name, found in starts.items()
        if name != "1"
    ]
    about = _ABOUT.format(clients=clients, megabytes=megabytes, layers=_LAYERS, rate=rate / _MB, herd=_HERD)
    parts = [
        f"# Replicas on one machine\n\n{about}\n\n{described()}",
        "\n".join([f"## {clients} clients of a cold image of {megabytes} MB\n", _head(_COLD), *cold]),
        "\n".join(f"- {each}" for each in ratios),
        "\n".join(["## Hits and herds\n", _head(_SEVERAL), *(each.row() for each in several)]),
    ]
    return "\n\n".join(parts) + "\n"


def _head(columns: Sequence[str]) -> str:
    return f"| {' | '.join(columns)} |\n|{'--:|' * len(columns)}"


_COLD = ("replicas", "right", "last client, s", "registry sent", "tokens", "questions for the tag", "layers asked for again", "cores busy")
_SEVERAL = (
    *("replicas", "manifests by tag per second", "us of CPU each", "blobs of 100 KB per second", "us of CPU each"),
    *("herd, s", "registry sent", "right", "MiB of all processes"),
)
_ABOUT = """\
By `python -m bench.replicas`. Replicas run as they come, with a worker for each core, on the machine of all clients; several are one
fleet, without Redis. {clients} clients pull an image of {layers} layers, {megabytes} MB, config and layers at once, spread over the
replicas; the registry gives tokens, and its line carries {rate:g} MB/s. Where a replica is killed, with SIGKILL and in the middle, its
clients go on where they were at another one. Hits come by wrk, 64 connections in all; a herd is as many clients of one cold blob of
{herd} MB."""


def main() -> None:
    """Parse the arguments, and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=300)
    parser.add_argument("--megabytes", type=int, default=64)
    parser.add_argument("--rate", type=float, default=20, help="MB/s of the registry's line")
    parser.add_argument("--rounds", type=int, default=3, help="of the cold image")
    parser.add_argument("--seconds", type=int, default=4, help="of hits")
    parser.add_argument("--log", action="store_true", help="tell what the replicas complained of")
    chosen = parser.parse_args()
    network.enter("bench.replicas")
    with tempfile.TemporaryDirectory() as root:
        measured = _measured(
            chosen.clients, chosen.megabytes, chosen.rate * _MB, chosen.rounds, chosen.seconds, Path(root), says=chosen.log
        )
        page = asyncio.run(measured)
    (RESULTS / "replicas.md").write_text(page)
    print(page)


if __name__ == "__main__":
    main()
