"""Two versions of regproxy in pairs: `python -m bench.pairs --before COMMIT`, or the interpreter of an environment that has the other one.

Hits by wrk and cold blobs by curl, the versions in turns. What is printed is the ratio of the pairs, its median and its interval, and
whether that is more than noise. On a machine that does other work too, the processor time that a response takes tells most.
"""

import argparse
import asyncio
import io
import shlex
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeAlias

from bench import hits, misses, processes
from bench.origin import image, push
from bench.peers import Peer, Upstream, origin, regproxy
from bench.ratios import Ratio

_HITS = {"blob of 4 KB": 4_000, "blob of 100 KB": 100_000, "blob of 64 MB": 64_000_000}
_COLD = 64_000_000
_CONNECTIONS = {"blob of 64 MB": 4}
_RATE = "rate"

Figures: TypeAlias = Mapping[str, float]
"""What was measured once, by name."""


def _interpreter(before: str, root: Path) -> str:
    """Return the interpreter that runs the version *before*: that interpreter itself, or ours with the code of that commit."""
    if Path(before).is_file():
        return before
    code = subprocess.run(["git", "archive", before, "regproxy"], check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(code)) as archive:
        archive.extractall(root / "code", filter="data")
    script = root / "python"
    script.write_text(f'#!/bin/sh\nPYTHONPATH={shlex.quote(str(root / "code"))} exec {shlex.quote(sys.executable)} "$@"\n')
    script.chmod(0o700)
    return str(script)


def row(what: str, ratio: Ratio, *, is_better_low: bool) -> str:
    """Write the ratio of after to before, and whether it is better, worse, or noise."""
    moved = "within noise" if ratio.is_noise else "better" if (ratio.median < 1) == is_better_low else "worse"
    return f"{what:<26} after/before {ratio}  {moved}"


@asynccontextmanager
async def _serving(root: Path, before: str, pairs: int) -> AsyncIterator[tuple[Mapping[str, str], Mapping[str, Peer]]]:
    """Run both versions before one registry, and say where what it holds is found."""
    served = image(_HITS | {f"cold {number}": _COLD for number in range(pairs)})
    for name in ("origin", "before", "after"):
        (root / name).mkdir()
    async with origin(root / "origin") as registry:
        await asyncio.to_thread(push, registry, served)
        upstream = Upstream(registry.url(""))
        async with regproxy(upstream, root / "before", python=_interpreter(before, root)) as old, regproxy(upstream, root / "after") as new:
            yield served.paths(), {"before": old, "after": new}


async def _compared(what: str, pairs: int, peers: Mapping[str, Peer], measure: Callable[[Peer, int], Awaitable[Figures]]) -> None:
    """Measure *pairs* times, whoever was second going first next time, and print the ratios."""
    ratios: dict[str, list[float]] = {}
    for number in range(pairs):
        names = ["before", "after"] if number % 2 else ["after", "before"]
        found = {name: await measure(peers[name], number) for name in names}
        for figure, value in found["after"].items():
            ratios.setdefault(figure, []).append(value / found["before"][figure])
    for figure, each in ratios.items():
        print(row(f"{what}, {figure}", Ratio.of(each), is_better_low=figure != _RATE), flush=True)


async def _measure(before: str, pairs: int, seconds: int) -> None:
    with tempfile.TemporaryDirectory() as directory:
        async with _serving(Path(directory), before, pairs) as (paths, peers):
            for case in ("manifest by tag", "manifest by digest", *_HITS):

                async def hit(peer: Peer, _: int, case: str = case) -> Figures:
                    began = _cpu(peer)
                    rate = (await hits.wrk(peer.url(paths[case]), seconds, _CONNECTIONS.get(case, 64)))[0]
                    return {_RATE: rate, "CPU": (_cpu(peer) - began) / rate}

                for peer in peers.values():
                    await hits.wrk(peer.url(paths[case]), 1, 2)  # fetches it, and warms up
                await _compared(case, pairs, peers, hit)

            async def cold(peer: Peer, number: int) -> Figures:
                began = _cpu(peer)
                return {"time": (await misses.fetched(peer.url(paths[f"cold {number}"])))[1], "CPU": _cpu(peer) - began}

            await _compared("cold 64 MB", pairs, peers, cold)


def _cpu(peer: Peer) -> float:
    return sum(processes.cpu_of_threads(pid) for pid in processes.tree(peer.pid))


def main() -> None:
    """Parse the arguments and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--before", required=True, help="the commit to compare with, or an interpreter that has it")
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--seconds", type=int, default=3, help="of each round of hits")
    arguments = parser.parse_args()
    asyncio.run(_measure(arguments.before, arguments.pairs, arguments.seconds))


if __name__ == "__main__":
    main()
