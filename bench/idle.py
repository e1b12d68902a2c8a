"""What an idle cache of a node takes, by config/node.yaml: after its start, and after pulls. `python -m bench.idle` prints it."""

import argparse
import asyncio
import json
import random
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import yaml

from bench import processes
from tests.fakes.program import Program
from tests.fakes.registry import FakeRegistry

_NODE = yaml.safe_load((Path(__file__).parents[1] / "config" / "node.yaml").read_text())
_LAYERS = (300_000, 2_000_000, 9_000_000, 25_000_000)  # bytes
_CHUNK = 1024 * 1024


@dataclass(frozen=True)
class Idle:
    """MiB resident in all of its processes, also what others share; and the share of a core that it took between the two."""

    started: float
    pulled: float
    core: float


async def measured(images: int, seconds: float) -> Idle:
    """Start a node's cache, pull *images* of four layers each through it, cold and again, and let it be idle for *seconds*."""
    async with FakeRegistry() as upstream, aiohttp.ClientSession() as client:
        names = [f"library/app{number}" for number in range(images)]
        for name in names:
            upstream.add_image(name, "1", [random.randbytes(size) for size in _LAYERS])
        with tempfile.TemporaryDirectory() as root:
            program = Program(Path(root), {})
            own = {name: program.settings[name] for name in ("listen", "admin_listen", "store")}
            program.settings = {**_NODE, **own, "upstreams": {**_NODE["upstreams"], "docker.io": {"hosts": [{"url": upstream.url}]}}}
            async with program.running():
                assert program.process is not None  # noqa: S101 -- it runs
                pid = program.process.pid
                await asyncio.sleep(min(seconds, 5))
                started = processes.resident(pid)
                for name in names * 2:
                    await _pull(client, f"http://127.0.0.1:{program.port}/v2/{name}")
                used, began = processes.cpu(pid), time.monotonic()
                await asyncio.sleep(seconds)
                return Idle(started, processes.resident(pid), (processes.cpu(pid) - used) / (time.monotonic() - began))


async def _pull(client: aiohttp.ClientSession, url: str) -> None:
    manifest = json.loads(await _received(client, f"{url}/manifests/1"))
    await asyncio.gather(*(_received(client, f"{url}/blobs/{each['digest']}") for each in (manifest["config"], *manifest["layers"])))


async def _received(client: aiohttp.ClientSession, url: str) -> bytes:
    """Return the beginning of what is there, and read all of it."""
    async with client.get(url) as response:
        response.raise_for_status()
        beginning = await response.content.read(_CHUNK)
        async for _ in response.content.iter_chunked(_CHUNK):
            pass
        return beginning


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the arguments, measure, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=12, help="images pulled")
    parser.add_argument("--seconds", type=float, default=70, help="idle, after which memory is looked at: it is given back once a minute")
    wanted = parser.parse_args(arguments)
    found = asyncio.run(measured(wanted.images, wanted.seconds))
    print(f"{found.started:.1f} MiB after the start, {found.pulled:.1f} MiB after pulls, {found.core:.2%} of a core")


if __name__ == "__main__":
    main()
