"""A server in a process of its own: one that can be killed, or whose system calls can be made to fail."""

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import yaml

from tests.fakes.registry import FakeRegistry
from tests.free_port import free_port
from tests.rig import LOOPBACK


class Served:
    """A regproxy in a process of its own, under a wrapper such as strace if need be."""

    def __init__(self, root: Path, upstream: FakeRegistry, *wrapper: str) -> None:
        self.root = root
        self._wrapper = wrapper
        self.port, self.admin_port = free_port(), free_port()
        self._config = root.with_suffix(".yaml")
        document = {
            "listen": f"{LOOPBACK}:{self.port}",
            "admin_listen": f"{LOOPBACK}:{self.admin_port}",
            "store": {"root": str(root), "max_size": "12MiB"},
            "upstreams": {"docker.io": {"hosts": [{"url": upstream.url}]}},
            "log_level": "error",
            "drain": "1s",
        }
        self._config.write_text(yaml.safe_dump(document))

    @asynccontextmanager
    async def running(self, session: aiohttp.ClientSession) -> AsyncIterator[None]:
        """Start it, wait until it is ready, and kill it in the end."""
        command = [*self._wrapper, sys.executable, "-m", "regproxy", "serve", "--config", str(self._config)]
        process = await asyncio.create_subprocess_exec(*command)
        try:
            async with asyncio.timeout(300):
                while not await self._is_ready(session):  # noqa: ASYNC110 -- another process is watched
                    await asyncio.sleep(0.05)
            yield
        finally:
            process.send_signal(signal.SIGKILL)
            await process.wait()

    async def pull(self, session: aiohttp.ClientSession, name: str, path: str) -> bytes:
        """Ask and read to the end; raise `aiohttp.ClientError` where that comes early."""
        async with session.get(f"http://{LOOPBACK}:{self.port}/v2/{name}/{path}?ns=docker.io") as response:
            return await response.read()

    async def outcome(self, session: aiohttp.ClientSession, name: str, path: str) -> str:
        """Ask, and say whether it was a hit or what else."""
        async with session.get(f"http://{LOOPBACK}:{self.port}/v2/{name}/{path}?ns=docker.io") as response:
            await response.read()
            return response.headers["Cache-Status"].removeprefix("regproxy; ")

    async def is_healthy(self, session: aiohttp.ClientSession) -> bool:
        async with session.get(f"http://{LOOPBACK}:{self.admin_port}/healthz") as response:
            return response.status == 200

    async def metrics(self, session: aiohttp.ClientSession) -> str:
        async with session.get(f"http://{LOOPBACK}:{self.admin_port}/metrics") as response:
            return await response.text()

    async def _is_ready(self, session: aiohttp.ClientSession) -> bool:
        with contextlib.suppress(aiohttp.ClientError):
            async with session.get(f"http://{LOOPBACK}:{self.admin_port}/readyz") as response:
                return response.status == 200
        return False
