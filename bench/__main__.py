"""All benchmarks in one run: `make bench`, or `python -m bench [--quick]`; then tables and plots in bench/results/."""

import argparse
import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from typing import Any

import pytest

from bench import access, herd, hits, misses, pulls, report, slow, warm
from bench.caches import CACHES, installed
from bench.peers import RESULTS

_MOST_OF_ALL = 200  # clients; those who ask upstream once for each measure upstream then
_RATE = 16.0  # MB/s that a herd's upstream sends on each connection


async def _herds(clients: Sequence[int], megabytes: int) -> list[herd.Herd]:
    found, peers = [], installed()
    for count in clients:
        for peer in peers if count <= _MOST_OF_ALL else [name for name in peers if CACHES[name].joins_clients]:
            found.append(await herd.measured(peer, count, megabytes, _RATE))
            print(found[-1], flush=True)
    return found


def _measurements(*, is_quick: bool) -> dict[str, Callable[[], Awaitable[Sequence[Any]]]]:
    if is_quick:
        return {
            "hits": lambda: hits.measured(hits.Load(2, 1)),
            "access": lambda: access.measured(1, 8),
            "misses": lambda: misses.measured([1, 64], 1),
            "herds": lambda: _herds([1, 20], 16),
            "pulls": lambda: pulls.measured(40, 12, 1),
            "slow": lambda: slow.measured(list(installed()), 100, 6),
            "warm": lambda: warm.measured(16, 1, 2),
        }
    return {
        "hits": lambda: hits.measured(hits.Load(2, 3)),
        "access": lambda: access.measured(6, 16),
        "misses": lambda: misses.measured([1, 64, 256], 5),
        "herds": lambda: _herds([1, 20, 200, 1000], 16),
        "pulls": lambda: pulls.measured(500, 12, 3),
        "slow": lambda: slow.measured(list(installed()), 1000, 20),
        "warm": lambda: warm.measured(40, 3, 8),
    }


async def _measure(*, is_quick: bool) -> dict[str, list[dict[str, Any]]]:
    found = {}
    for name, measure in _measurements(is_quick=is_quick).items():
        print(f"\n{name}", flush=True)
        try:
            found[name] = [asdict(one) for one in await measure()]
        except pytest.skip.Exception as missing:  # of the clients' programs
            print(f"left out: {missing}", flush=True)
    return found


def main() -> None:
    """Parse the arguments, measure, and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few minutes, to try it out; kept nowhere")
    arguments = parser.parse_args()
    found = asyncio.run(_measure(is_quick=arguments.quick))
    if arguments.quick:
        print(f"\n{report.page(found)}")
        return
    (RESULTS / "bench.json").write_text(json.dumps(found, indent=1) + "\n")
    report.main()


if __name__ == "__main__":
    main()
