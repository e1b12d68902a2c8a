"""A regproxy in a process of its own."""

import asyncio
import sys
from asyncio.subprocess import DEVNULL, Process
from pathlib import Path

import aiohttp
import yaml

from tests.free_port import free_port
from tests.rig import LOOPBACK


async def serving(root: Path, upstream: str, port: int) -> Process:
    """Start one with its store below *root* and docker.io at *upstream*; return once it answers."""
    config = root / "regproxy.yaml"
    settings = {
        "listen": f"{LOOPBACK}:{port}",
        "admin_listen": f"{LOOPBACK}:{free_port()}",
        "workers": 2,  # on every machine: each takes memory
        "store": {"root": str(root / "store")},
        "upstreams": {"docker.io": {"hosts": [{"url": upstream}]}},
    }
    config.write_text(yaml.safe_dump(settings))
    program = await asyncio.create_subprocess_exec(sys.executable, "-m", "regproxy", "serve", "--config", str(config), stdout=DEVNULL)
    async with aiohttp.ClientSession() as session, asyncio.timeout(300):
        while True:
            try:
                async with session.get(f"http://{LOOPBACK}:{port}/v2/"):
                    return program
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.02)


def most_memory(program: Process) -> int:
    """Tell how many bytes of memory it has had at most, with its children, since it was started."""
    children = Path(f"/proc/{program.pid}/task/{program.pid}/children").read_text().split()
    return sum(_most_memory(pid) for pid in [str(program.pid), *children])


def _most_memory(pid: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
