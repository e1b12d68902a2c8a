"""A long day in short: `python -m bench.soak [--minutes 20]`.

Hits, cold blobs, clients that leave half-way, a store too small for what is asked, upstreams that go away and workers that are killed, all
at once. Every byte is checked. Memory, descriptors, tasks and processor time are looked at every ten seconds; `--keep` writes all looks,
some of them as a table, and plots to bench/results/. It is always the youngest worker that is killed: the eldest lives through it all.
"""

import argparse
import asyncio
import contextlib
import hashlib
import json
import os
import random
import signal
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import aiohttp

from bench import plots, processes
from bench.peers import RESULTS, Peer, Upstream, regproxy
from regproxy.policy.respawn import STEADY
from tests.fakes.deeds import Status
from tests.fakes.registry import FakeRegistry

_NAME = "library/app"
_BLOBS, _SIZE = 400, 1_000_000
_STORE = "128MiB"  # a third of the blobs
_CLIENTS = 24
_EVERY = 10.0  # seconds between two looks
_COLUMNS = {
    "memory, MiB": "memory",
    "of the eldest worker": "eldest",
    "descriptors": "descriptors",
    "tasks": "tasks",
    "whole answers": "whole",
    "wrong": "wrong",
}


@dataclass(frozen=True)
class Look:
    """How it was after so many seconds."""

    seconds: float
    memory: float
    eldest: float  # MiB of the worker that lives on
    descriptors: int
    tasks: int
    cpu: float
    whole: int
    left: int
    refused: int
    cut: int
    wrong: int


class Soak:
    """The load, and what became of it."""

    def __init__(self, upstream: FakeRegistry, peer: Peer) -> None:
        self._upstream = upstream
        self._peer = peer
        self._chance = random.Random(1)
        self._digests = [upstream.add_blob(_NAME, self._chance.randbytes(_SIZE)) for _ in range(_BLOBS)]
        self._count: Counter[str] = Counter()
        self.looks: list[Look] = []
        for number in range(20):
            upstream.add_image(_NAME, str(number), [f"layer {number}".encode()])

    async def run(self, seconds: float) -> None:
        """Load it for so long."""
        began = time.monotonic()
        async with aiohttp.ClientSession(auto_decompress=False, connector=aiohttp.TCPConnector(limit=0)) as session:
            tasks = [asyncio.create_task(self._client(session)) for _ in range(_CLIENTS)]
            tasks += [asyncio.create_task(self._outages()), asyncio.create_task(self._kills())]
            while time.monotonic() - began < seconds:
                await asyncio.sleep(_EVERY)
                await self._look(time.monotonic() - began)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _client(self, session: aiohttp.ClientSession) -> None:
        while True:
            try:
                async with asyncio.timeout(60):
                    self._count[await self._ask(session)] += 1
            except (aiohttp.ClientError, TimeoutError, OSError):
                self._count["cut"] += 1
                await asyncio.sleep(0.05)

    async def _ask(self, session: aiohttp.ClientSession) -> str:
        dice = self._chance.random()
        if dice < 0.3:
            return await self._get(session, f"manifests/{self._chance.randrange(20)}", None)
        few = self._chance.random() < 0.7  # most ask for the same few
        digest = self._digests[self._chance.randrange(20 if few else _BLOBS)]
        return await self._get(session, f"blobs/{digest}", digest.hex, leaves=dice > 0.9)

    async def _get(self, session: aiohttp.ClientSession, path: str, expected: str | None, *, leaves: bool = False) -> str:
        found = hashlib.sha256()
        async with session.get(self._peer.url(f"/v2/{_NAME}/{path}")) as response:
            if response.status != 200:
                return "refused"
            async for chunk in response.content.iter_any():
                found.update(chunk)
                if leaves:
                    return "left"
            named = response.headers["Docker-Content-Digest"].partition(":")[2]
        return "whole" if found.hexdigest() == (expected or named) else "wrong"

    async def _outages(self) -> None:
        """Let upstream fail for two seconds in twenty."""
        while True:
            await asyncio.sleep(18)
            self._upstream.misbehave("/", Status(503))
            await asyncio.sleep(2)
            self._upstream.behave()

    async def _kills(self) -> None:
        """Kill a worker again and again, each when it is old enough to be replaced at once."""
        while True:
            await asyncio.sleep(STEADY * 1.25)
            if len(workers := self._workers()) > 1:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(workers[-1], signal.SIGKILL)

    def _workers(self) -> list[int]:
        """List the workers, the eldest first."""
        return sorted(processes.tree(self._peer.pid)[1:], key=processes.born)

    async def _look(self, passed: float) -> None:
        pid = self._peer.pid
        counts = {name: self._count[name] for name in ("whole", "left", "refused", "cut", "wrong")}
        tasks = int(await self._peer.metric("regproxy_tasks"))
        memory, eldest = processes.memory(pid), processes.memory(self._workers()[0])
        self.looks.append(Look(passed, memory, eldest, processes.descriptors(pid), tasks, processes.cpu(pid), **counts))
        print(self.looks[-1], flush=True)


async def _measured(seconds: float, root: Path) -> list[Look]:
    async with FakeRegistry("anonymous") as upstream:
        store = {"root": str(root / "store"), "max_size": _STORE, "high_watermark": "100%"}
        upstreams = {"docker.io": {"hosts": [{"url": upstream.url}], "tags": [{"fresh_for": "5s"}]}}
        async with regproxy(Upstream(upstream.url), root, workers=2, store=store, upstreams=upstreams) as peer:
            soak = Soak(upstream, peer)
            await soak.run(seconds)
            return soak.looks


def main() -> None:
    """Parse the arguments and measure once."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--keep", action="store_true", help="write what was seen to bench/results/")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as root:
        looks = asyncio.run(_measured(arguments.minutes * 60, Path(root)))
    if arguments.keep:
        rows = [asdict(look) for look in looks]
        (RESULTS / "soak.json").write_text(json.dumps(rows, indent=1) + "\n")
        (RESULTS / "soak.md").write_text(f"# Soak\n\n{_table(looks)}")
        plots.soak(rows)


def _table(looks: Sequence[Look]) -> str:
    """Say how it was after each quarter, and how memory went in the second half."""
    lines = ["| minutes | " + " | ".join(_COLUMNS) + " |", "|--:" * (len(_COLUMNS) + 1) + "|"]
    for quarter in range(1, 5):
        look = looks[len(looks) * quarter // 4 - 1]
        lines.append(f"| {look.seconds / 60:.0f} | " + " | ".join(f"{getattr(look, name):,.0f}" for name in _COLUMNS.values()) + " |")
    late = looks[len(looks) // 2 :]
    slope = statistics.linear_regression([look.seconds / 3600 for look in late], [look.eldest for look in late]).slope
    lines += ["", f"In the second half the eldest worker's memory went by {slope:+.1f} MiB an hour."]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
