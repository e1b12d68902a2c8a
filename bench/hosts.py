"""A far upstream and a near one: `python -m bench.hosts`.

Far: a blob over a line that is slow per connection, by one connection and through regproxy. Near: a blob from a server on this machine,
directly and through regproxy. Prints seconds to the first and the last byte, as curl sees them, and what upstream had to send.
"""

import argparse
import asyncio
import os
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web
from yarl import URL

from bench.link import LongLine
from bench.peers import Upstream, regproxy, running
from regproxy.oci.digest import Digest
from tests.free_port import free_port
from tests.rig import LOOPBACK

_MB = 1_000_000
_NAME = "library/app"


@dataclass(frozen=True)
class Taken:
    """Seconds to the first and the last byte."""

    first: float
    last: float


async def _download(url: str) -> Taken:
    curl = await asyncio.create_subprocess_exec(
        "curl", "-s", "--fail", "-o", os.devnull, "-w", "%{time_starttransfer} %{time_total}", url, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await curl.communicate()
    if curl.returncode:
        raise RuntimeError(f"curl could not get {url}: {curl.returncode}")
    first, last = map(float, said.split())
    return Taken(first, last)


@asynccontextmanager
async def _server(file: Path, root: Path) -> AsyncIterator[str]:
    """Serve a file, whatever is asked for."""
    port = free_port()
    async with running([sys.executable, "-m", "bench.hosts", "--serve", str(file), str(port)], root, port) as server:
        yield server.url("")


async def _measure(megabytes: int, delay: float, rate: float, near: int, root: Path) -> None:
    for name, size in (("far", megabytes), ("near", near)):
        body = os.urandom(size * _MB)
        path = f"/v2/{_NAME}/blobs/{Digest.of(body)}"
        file = root / f"{name}.blob"
        file.write_bytes(body)
        (root / f"{name}.server").mkdir()
        async with _server(file, root / f"{name}.server") as server:
            if name == "near":
                await _compare("near", server, path, size, root)
                continue
            async with LongLine((LOOPBACK, URL(server).port or 0), delay, rate) as line:
                await _compare("far", line.url, path, size, root, line)


async def _compare(name: str, upstream: str, path: str, size: int, root: Path, line: LongLine | None = None) -> None:
    direct = await _download(upstream + path)
    before = line.sent_down if line else 0
    (root / name).mkdir()
    async with regproxy(Upstream(upstream), root / name) as proxy:
        through = await _download(proxy.url(path))
    print(f"{name}: {size} MB   direct {direct.last:.2f} s, first byte {direct.first:.3f} s")
    print(f"      through regproxy {through.last:.2f} s, first byte {through.first:.3f} s: {direct.last / through.last:.2f} times as fast")
    if line:
        print(f"      upstream sent {(line.sent_down - before) / size / _MB:.3f} times the blob")


def _serve(file: Path, port: int) -> None:
    async def answer(_: web.Request) -> web.FileResponse:
        return web.FileResponse(file)

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    web.run_app(app, host=LOOPBACK, port=port, print=None, access_log=None)


def main() -> None:
    """Parse the arguments and measure once."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=96)
    parser.add_argument("--delay", type=float, default=0.08, help="seconds, each way")
    parser.add_argument("--rate", type=float, default=8, help="MB/s of each connection")
    parser.add_argument("--near", type=int, default=256, help="MB of the blob on this machine")
    parser.add_argument("--serve", nargs=2, metavar=("FILE", "PORT"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        _serve(Path(arguments.serve[0]), int(arguments.serve[1]))
        return
    with tempfile.TemporaryDirectory() as root:
        asyncio.run(_measure(arguments.megabytes, arguments.delay, arguments.rate * _MB, arguments.near, Path(root)))


if __name__ == "__main__":
    main()
