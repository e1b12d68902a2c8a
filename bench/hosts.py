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

import yaml
from aiohttp import web

from bench.herd import ready
from bench.link import LongLine
from regproxy.oci.digest import Digest
from tests.rig import LOOPBACK, free_port

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
async def _program(*arguments: str, port: int) -> AsyncIterator[None]:
    program = await asyncio.create_subprocess_exec(sys.executable, "-m", *arguments, stdout=asyncio.subprocess.DEVNULL)
    try:
        await asyncio.wait_for(ready(port), 20)
        yield
    finally:
        program.terminate()
        await program.wait()


@asynccontextmanager
async def _proxy(upstream: str, root: Path) -> AsyncIterator[str]:
    port = free_port()
    config = root.with_suffix(".yaml")
    settings = {
        "listen": f"{LOOPBACK}:{port}",
        "admin_listen": f"{LOOPBACK}:{free_port()}",
        "store": {"root": str(root.with_suffix(".store"))},
        "upstreams": {"docker.io": {"hosts": [{"url": upstream}]}},
    }
    config.write_text(yaml.safe_dump(settings))
    async with _program("regproxy", "serve", "--config", str(config), port=port):
        yield f"http://{LOOPBACK}:{port}"


async def _measure(megabytes: int, delay: float, rate: float, near: int, root: Path) -> None:
    for name, size in (("far", megabytes), ("near", near)):
        body = os.urandom(size * _MB)
        path = f"/v2/{_NAME}/blobs/{Digest.of(body)}"
        port = free_port()
        file = root / name
        file.write_bytes(body)
        async with _program("bench.hosts", "--serve", str(file), str(port), port=port):
            server = f"http://{LOOPBACK}:{port}"
            if name == "near":
                await _compare("near", server, path, size, root)
                continue
            async with LongLine((LOOPBACK, port), delay, rate) as line:
                await _compare("far", line.url, path, size, root, line)


async def _compare(name: str, upstream: str, path: str, size: int, root: Path, line: LongLine | None = None) -> None:
    direct = await _download(upstream + path)
    before = line.sent_down if line else 0
    async with _proxy(upstream, root / name) as proxy:
        through = await _download(proxy + path)
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
