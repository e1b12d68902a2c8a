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


@dataclass(frozen=True)
class Compared:
    """What a download took directly and through regproxy, and how many times the blob upstream sent for the latter, where that is known."""

    direct: Taken
    through: Taken
    upstream: float | None = None

    @property
    def speed_up(self) -> float:
        return self.direct.last / self.through.last


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


async def far(megabytes: int, delay: float, rate: float, root: Path) -> Compared:
    """Fetch a blob over a line of *delay* seconds each way, and *rate* bytes per second and connection."""
    async with _blob(megabytes, root) as (server, path), LongLine((LOOPBACK, URL(server).port or 0), delay, rate) as line:
        return _told(f"far: {megabytes} MB", await _compare(line.url, path, megabytes, root, line))


async def near(megabytes: int, root: Path) -> Compared:
    """Fetch a blob from a server on this machine."""
    async with _blob(megabytes, root) as (server, path):
        return _told(f"near: {megabytes} MB", await _compare(server, path, megabytes, root))


@asynccontextmanager
async def _blob(megabytes: int, root: Path) -> AsyncIterator[tuple[str, str]]:
    """Serve a blob, and say where: the server's URL, and the path."""
    body = os.urandom(megabytes * _MB)
    (file := root / "blob").write_bytes(body)
    (root / "server").mkdir()
    async with _server(file, root / "server") as server:
        yield server, f"/v2/{_NAME}/blobs/{Digest.of(body)}"


async def _compare(upstream: str, path: str, megabytes: int, root: Path, line: LongLine | None = None) -> Compared:
    direct = await _download(upstream + path)
    before = line.sent_down if line else 0
    (root / "proxy").mkdir()
    async with regproxy(Upstream(upstream), root / "proxy") as proxy:
        through = await _download(proxy.url(path))
    return Compared(direct, through, (line.sent_down - before) / megabytes / _MB if line else None)


def _told(what: str, found: Compared) -> Compared:
    print(f"{what:<13} direct {found.direct.last:.2f} s, first byte {found.direct.first:.3f} s")
    print(f"{'':<13} through {found.through.last:.2f} s, first byte {found.through.first:.3f} s: {found.speed_up:.2f} times as fast")
    if found.upstream is not None:
        print(f"{'':<13} upstream sent {found.upstream:.3f} times the blob", flush=True)
    return found


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
        asyncio.run(far(arguments.megabytes, arguments.delay, arguments.rate * _MB, Path(root)))
    with tempfile.TemporaryDirectory() as root:
        asyncio.run(near(arguments.near, Path(root)))


if __name__ == "__main__":
    main()
