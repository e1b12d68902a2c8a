"""Clients that leave at once: `python -m bench.leave [--clients 8000]` (row C03).

They follow one fill; then their processes are killed. Meanwhile one client asks for a manifest again and again: its longest wait is
how long the loop stood still.
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
    """One client that asks again and again."""

    def __init__(self, peer: Peer) -> None:
        self._url = peer.url(f"/v2/{_NAME}/manifests/1")
        self.waits: list[float] = []

    async def run(self) -> None:
        async with aiohttp.ClientSession() as session:
            while True:
                began = time.perf_counter()
                async with session.get(self._url) as response:
                    await response.read()
                self.waits.append(time.perf_counter() - began)
                await asyncio.sleep(0.002)


async def _measured(clients: int, root: Path) -> None:
    async with FakeRegistry("anonymous") as upstream:
        digest = upstream.add_blob(_NAME, os.urandom(32_000_000))
        upstream.add_image(_NAME, "1", [b"layer"])
        upstream.misbehave(on("GET", f"/blobs/{digest}"), Paced(100_000))
        async with regproxy(Upstream(upstream.url), root) as peer:
            asked = Asked(peer.port, f"/v2/{_NAME}/blobs/{digest}", str(digest), clients // _PROCESSES)
            command = (sys.executable, "-m", "bench.crowd", json.dumps(asdict(asked)))
            crowds = [await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.DEVNULL) for _ in range(_PROCESSES)]
            probe = Probe(peer)
            probing = asyncio.create_task(probe.run())
            await asyncio.sleep(5 + clients / 500)
            before, following = probe.waits[-500:], _connections(peer.port)
            probe.waits.clear()
            for each in crowds:
                each.kill()
            await asyncio.gather(*(each.wait() for each in crowds))
            await asyncio.sleep(5)
            probing.cancel()
            stood, read = max(probe.waits, default=0.0) * 1000, max(before, default=0.0) * 1000
            print(
                f"{following} clients left at once: the loop stood still for {stood:.0f} ms, and for {read:.0f} ms while all of them read"
            )
            print(f"{_connections(peer.port)} connections are left")


def _connections(port: int) -> int:
    """Count established connections to a port (proc_net(5), state 01)."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return sum(line.split()[1].endswith(f":{port:04X}") and line.split()[3] == "01" for line in lines)


def main() -> None:
    """Parse the arguments and measure once."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=8000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as root:
        asyncio.run(_measured(arguments.clients, Path(root)))


if __name__ == "__main__":
    main()
