"""Hits. Each peer in turn, several rounds, by wrk; what is told is the median.

regproxy runs as it comes, with metrics and an access line per request; nginx, which serves files and writes no log, is the mark.
"""

import asyncio
import re
import statistics
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import processes
from bench.caches import installed
from bench.origin import Image, image, lay_out, push
from bench.peers import Peer, Start, Upstream, nginx, origin, regproxy, self_signed
from regproxy.oci.manifest import ACCEPT

_SIZES = {"blob of 4 KB": 4_000, "blob of 100 KB": 100_000, "blob of 256 MB": 256_000_000}
_CASES = ["manifest by tag", "manifest by digest", *_SIZES]
_ENCRYPTED = ["manifest by tag", "blob of 100 KB", "blob of 256 MB"]
_UNITS = {"B": 1, "KB": 1024, "MB": 1024**2, "GB": 1024**3, "TB": 1024**4}


@dataclass(frozen=True)
class Load:
    """How wrk asks."""

    seconds: int
    rounds: int
    connections: int = 64

    def of(self, case: str) -> int:
        """Say how many connections ask for it at once: a few large blobs fill any line."""
        return 4 if case.startswith("blob of 256 MB") else self.connections


@dataclass(frozen=True)
class Hit:
    """What one peer did in one round: requests and bytes per second, and its own processor time per request, in microseconds."""

    case: str
    peer: str
    round: int
    rate: float
    bytes_rate: float
    cpu: float
    errors: int


async def wrk(url: str, seconds: int, connections: int, shown: str | None = None) -> tuple[float, float, int]:
    """Ask again and again, with the `Authorization` *shown*; give requests and bytes per second, and how many failed."""
    threads = min(2, connections)
    arguments = [
        f"-t{threads}",
        f"-c{connections}",
        f"-d{seconds}s",
        "--timeout",
        "30s",
        "-H",
        f"Accept: {ACCEPT}",
        *(["-H", f"Authorization: {shown}"] if shown else []),
        url,
    ]
    program = await asyncio.create_subprocess_exec("wrk", *arguments, stdout=asyncio.subprocess.PIPE)
    said = (await program.communicate())[0].decode()
    count, taken, unit, number = re.findall(r"(\d+) requests in ([\d.]+)(m?s), ([\d.]+\w+) read", said)[0]
    amount, scale = re.findall(r"([\d.]+)(\w+)", number)[0]
    spent = float(taken) / (1000 if unit == "ms" else 1)
    failed = sum(int(found) for found in re.findall(r"(?:connect|read|write|timeout|responses:) (\d+)", said))
    return int(count) / spent, float(amount) * _UNITS[scale] / spent, failed


@asynccontextmanager
async def serving(served: Image, root: Path, proxies: Mapping[str, Start] | None = None) -> AsyncIterator[dict[str, Peer]]:
    """Run *proxies*, or all that are installed, before one registry that holds the image; `direct` is that registry."""
    if proxies is None:
        proxies = installed()
    async with AsyncExitStack() as stack:
        for name in ("origin", "nginx", "files", *proxies):
            (root / name).mkdir()
        registry = await stack.enter_async_context(origin(root / "origin"))
        await asyncio.to_thread(push, registry, served)
        lay_out(root / "files", served)
        running = {"direct": registry, "nginx": await stack.enter_async_context(nginx(root / "files", root / "nginx"))}
        for name, start in proxies.items():
            running[name] = await stack.enter_async_context(start(Upstream(registry.url("")), root / name))
        yield running


@asynccontextmanager
async def encrypting(peers: Mapping[str, Peer], served: Image, root: Path) -> AsyncIterator[dict[str, Peer]]:
    """Run those that encrypt, beside those of `serving`."""
    for name in ("nginx-tls", "regproxy-tls", "files-tls"):
        (root / name).mkdir()
    pair = self_signed(root)
    lay_out(root / "files-tls", served)
    async with (
        nginx(root / "files-tls", root / "nginx-tls", pair) as mark,
        regproxy(Upstream(peers["direct"].url("")), root / "regproxy-tls", pair) as ours,
    ):
        yield {"nginx": mark, "regproxy": ours}


async def measured(load: Load, proxies: Mapping[str, Start] | None = None) -> list[Hit]:
    """Measure all cases, the peers in turns."""
    served = image(_SIZES)
    found: list[Hit] = []
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        async with serving(served, root, proxies) as plain, encrypting(plain, served, root) as encrypted:
            del plain["direct"]
            for case in _CASES:
                found += await _compared(case, plain, served.paths()[case], load)
            for case in _ENCRYPTED:
                found += await _compared(f"{case}, TLS", encrypted, served.paths()[case], load)
    return found


async def _compared(case: str, peers: Mapping[str, Peer], path: str, load: Load) -> list[Hit]:
    found: list[Hit] = []
    for peer in peers.values():
        await wrk(peer.url(path), 1, 2)  # fetches it, and warms up
    for number in range(load.rounds):
        for name, peer in peers.items():
            found.append(await _once(case, name, peer, path, number, load))
            print(_line(found[-1]), flush=True)
    return found


async def _once(case: str, name: str, peer: Peer, path: str, number: int, load: Load) -> Hit:
    before = processes.cpu(peer.pid)
    rate, bytes_rate, errors = await wrk(peer.url(path), load.seconds, load.of(case))
    spent = processes.cpu(peer.pid) - before
    return Hit(case, name, number, rate, bytes_rate, 1e6 * spent / max(1.0, rate * load.seconds), errors)


def _line(hit: Hit) -> str:
    return f"{hit.case:<20} {hit.peer:<16} {hit.rate:10.1f}/s {hit.bytes_rate / 1e6:8.0f} MB/s {hit.cpu:10.1f} us CPU  {hit.errors} errors"


def medians(hits: list[Hit]) -> Mapping[tuple[str, str], Hit]:
    """Take the median of all rounds, for each case and peer."""
    rounds: dict[tuple[str, str], list[Hit]] = {}
    for hit in hits:
        rounds.setdefault((hit.case, hit.peer), []).append(hit)
    return {key: _median(same) for key, same in rounds.items()}


def _median(same: list[Hit]) -> Hit:
    rate, bytes_rate, cpu = (statistics.median(getattr(hit, name) for hit in same) for name in ("rate", "bytes_rate", "cpu"))
    return Hit(same[0].case, same[0].peer, len(same), rate, bytes_rate, cpu, sum(hit.errors for hit in same))
