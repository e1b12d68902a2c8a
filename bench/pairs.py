"""Two versions of regproxy in pairs: `python -m bench.pairs --before PYTHON`, the interpreter of an environment that has the other one.

Hits by wrk and cold blobs by curl, the versions in turns. What is printed is the ratio of the pairs: its median, and its interval.
"""

import argparse
import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from bench import hits, misses
from bench.origin import image, push
from bench.peers import Peer, Upstream, origin, regproxy
from bench.ratios import Ratio

_HITS = {"blob of 4 KB": 4_000, "blob of 100 KB": 100_000, "blob of 64 MB": 64_000_000}
_COLD = 64_000_000
_CONNECTIONS = {"blob of 64 MB": 4}


@asynccontextmanager
async def _serving(root: Path, before: str, pairs: int) -> AsyncIterator[tuple[Mapping[str, str], Mapping[str, Peer]]]:
    """Run both versions before one registry, and say where what it holds is found."""
    served = image(_HITS | {f"cold {number}": _COLD for number in range(pairs)})
    for name in ("origin", "before", "after"):
        (root / name).mkdir()
    async with origin(root / "origin") as registry:
        await asyncio.to_thread(push, registry, served)
        upstream = Upstream(registry.url(""))
        async with regproxy(upstream, root / "before", python=before) as old, regproxy(upstream, root / "after") as new:
            yield served.paths(), {"before": old, "after": new}


async def _compared(what: str, pairs: int, peers: Mapping[str, Peer], measure: Callable[[Peer, int], Awaitable[float]]) -> None:
    """Measure *pairs* times, whoever was second going first next time, and print the ratios."""
    ratios = []
    for number in range(pairs):
        names = ["before", "after"] if number % 2 else ["after", "before"]
        found = {name: await measure(peers[name], number) for name in names}
        ratios.append(found["after"] / found["before"])
    print(f"{what:<20} after/before {Ratio.of(ratios)}", flush=True)


async def _measure(before: str, pairs: int, seconds: int) -> None:
    with tempfile.TemporaryDirectory() as directory:
        async with _serving(Path(directory), before, pairs) as (paths, peers):
            for case in ("manifest by tag", "manifest by digest", *_HITS):

                async def rate(peer: Peer, _: int, case: str = case) -> float:
                    return (await hits.wrk(peer.url(paths[case]), seconds, _CONNECTIONS.get(case, 64)))[0]

                for peer in peers.values():
                    await rate(peer, 0)  # fetches it, and warms up
                await _compared(f"{case}, rate", pairs, peers, rate)

            async def cold(peer: Peer, number: int) -> float:
                return (await misses.fetched(peer.url(paths[f"cold {number}"])))[1]

            await _compared("cold 64 MB, time", pairs, peers, cold)


def main() -> None:
    """Parse the arguments and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--before", required=True, help="the interpreter that has the version to compare with")
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--seconds", type=int, default=3, help="of each round of hits")
    arguments = parser.parse_args()
    asyncio.run(_measure(arguments.before, arguments.pairs, arguments.seconds))


if __name__ == "__main__":
    main()
