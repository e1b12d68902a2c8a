"""A herd on one cold blob: `python -m bench.herd [--clients 300] [--megabytes 32] [--rate 16]`.

The real program between an upstream that sends at a rate and clients that hash what they get. Prints what upstream was asked, when the
first byte came, when the last client was done, and how much memory regproxy held.
"""

import argparse
import asyncio
import hashlib
import os
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.fakes.deeds import Paced
from tests.fakes.entry import on
from tests.fakes.registry import FakeRegistry
from tests.rig import LOOPBACK, free_port

_MB = 1_000_000
_NAME = "library/app"


@dataclass(frozen=True)
class Seen:
    """What one client saw: seconds to its first and last byte, and whether all was right."""

    first: float
    last: float
    is_right: bool


async def _client(port: int, path: str, digest: str) -> Seen:
    began = time.perf_counter()
    reader, writer = await asyncio.open_connection(LOOPBACK, port, limit=256 * 1024)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: proxy\r\nConnection: close\r\n\r\n".encode())
    await reader.readuntil(b"\r\n\r\n")
    found, first = hashlib.sha256(), 0.0
    while chunk := await reader.read(256 * 1024):
        first = first or time.perf_counter() - began
        found.update(chunk)
    writer.close()
    return Seen(first, time.perf_counter() - began, found.hexdigest() == digest)


async def ready(port: int) -> None:
    while True:
        try:
            _, writer = await asyncio.open_connection(LOOPBACK, port)
        except ConnectionError:
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return


def _peak_memory(pid: int) -> float:
    """Read the most memory a process ever held, in MiB."""
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


async def _measure(clients: int, size: int, rate: float, root: Path) -> None:
    body = os.urandom(size)
    async with FakeRegistry("anonymous") as upstream:
        digest = upstream.add_blob(_NAME, body)
        upstream.misbehave(on("GET", "/blobs/"), Paced(rate))
        port = free_port()
        config = root / "regproxy.yaml"
        config.write_text(
            yaml.safe_dump(
                {
                    "listen": f"{LOOPBACK}:{port}",
                    "admin_listen": f"{LOOPBACK}:{free_port()}",
                    "store": {"root": str(root / "store")},
                    "upstreams": {"docker.io": {"hosts": [{"url": upstream.url}]}},
                }
            )
        )
        with (root / "log").open("wb") as log:
            program = await asyncio.create_subprocess_exec(sys.executable, "-m", "regproxy", "serve", "--config", str(config), stdout=log)
        try:
            await asyncio.wait_for(ready(port), 20)
            path = f"/v2/{_NAME}/blobs/{digest}?ns=docker.io"
            seen = await asyncio.gather(*(_client(port, path, digest.hex) for _ in range(clients)))
            memory = _peak_memory(program.pid)
        finally:
            program.terminate()
            await program.wait()
        _report(seen, upstream, size, rate, memory)


def _report(seen: list[Seen], upstream: FakeRegistry, size: int, rate: float, memory: float) -> None:
    firsts = statistics.quantiles([one.first for one in seen], n=100)
    gets = sum(entry.status == 200 for entry in upstream.ledger if entry.kind == "blobs")
    print(f"clients                 {len(seen)}, right: {sum(one.is_right for one in seen)}")
    print(f"upstream                {gets} GET, {upstream.sent_blob_bytes() / size:.2f}x the bytes, {len(upstream.issued)} token")
    print(f"first byte              p50 {firsts[49]:.2f} s, p99 {firsts[98]:.2f} s")
    print(f"slowest client          {max(one.last for one in seen):.2f} s, upstream needs {size / rate:.2f} s")
    print(f"regproxy's peak memory  {memory:.0f} MiB")


def main() -> None:
    """Parse the arguments and measure once."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=300)
    parser.add_argument("--megabytes", type=int, default=32)
    parser.add_argument("--rate", type=float, default=16, help="MB/s that upstream sends")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as root:
        asyncio.run(_measure(arguments.clients, arguments.megabytes * _MB, arguments.rate * _MB, Path(root)))


if __name__ == "__main__":
    main()
