"""Clients that leave at once: `python -m bench.leave [--clients 20000] [--workers 2]` (row C03).

They follow one fill; then their processes are killed. Meanwhile one client asks for a manifest again and again, and the workers tell how
long their loops stood still.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

import aiohttp

from bench.crowd import Asked
from bench.peers import Peer, Upstream, regproxy
from tests.fakes.deeds import Paced
from tests.fakes.entry import on
from tests.fakes.registry import FakeRegistry

_NAME = "library/app"
_PROCESSES = 4


class Probe:
    """One client that asks again and again, and somebody who looks at the workers' loops."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._waits: list[float] = []
        self._lags: list[float] = []

    def worst(self) -> str:
        """Tell what was worst since the last time."""
        found = f"the event loop lagged for {max(self._lags) * 1000:.0f} ms, and a hit took {max(self._waits) * 1000:.0f} ms"
        self._lags.clear()
        self._waits.clear()
        return found

    async def run(self) -> None:
        await asyncio.gather(self._ask(), self._look())

    async def _ask(self) -> None:
        async with aiohttp.ClientSession() as session:
            while True:
                began = time.perf_counter()
                async with session.get(self._peer.url(f"/v2/{_NAME}/manifests/1")) as response:
                    await response.read()
                self._waits.append(time.perf_counter() - began)
                await asyncio.sleep(0.002)

    async def _look(self) -> None:
        while True:
            self._lags.append(await self._peer.metric("regproxy_loop_lag_seconds"))
            await asyncio.sleep(0.25)


async def _measured(clients: int, workers: int, root: Path) -> None:
    async with FakeRegistry("anonymous") as upstream:
        digest = upstream.add_blob(_NAME, os.urandom(32_000_000))
        upstream.add_image(_NAME, "1", [b"layer"])
        upstream.misbehave(on("GET", f"/blobs/{digest}"), Paced(100_000))
        async with regproxy(Upstream(upstream.url), root, workers=workers) as peer:
            asked = Asked(peer.port, f"/v2/{_NAME}/blobs/{digest}", str(digest), clients // _PROCESSES)
            command = (sys.executable, "-m", "bench.crowd", json.dumps(asdict(asked)))
            crowds = [await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.DEVNULL) for _ in range(_PROCESSES)]
            probe = Probe(peer)
            probing = asyncio.create_task(probe.run())
            await asyncio.sleep(5 + clients / 500)
            print(f"while {_connections(peer.port)} came: {probe.worst()}")
            await asyncio.sleep(5)
            print(f"while they read along: {probe.worst()}")
            for each in crowds:
                each.kill()
            await asyncio.gather(*(each.wait() for each in crowds))
            await asyncio.sleep(5)
            probing.cancel()
            print(f"while all of them left at once: {probe.worst()}")
            print(f"{_connections(peer.port)} connections are left")


def _connections(port: int) -> int:
    """Count established connections to a port (proc_net(5), state 01)."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return sum(line.split()[1].endswith(f":{port:04X}") and line.split()[3] == "01" for line in lines)


def main() -> None:
    """Parse the arguments and measure once."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=20_000)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as root:
        asyncio.run(_measured(arguments.clients, arguments.workers, Path(root)))


if __name__ == "__main__":
    main()
