"""`regproxy serve` as a program of its own, with its workers: to be sent signals, and looked at from outside."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from tests.free_port import free_port
from tests.rig import LOOPBACK


class Program:
    """One run of the program."""

    def __init__(self, root: Path, upstreams: Mapping[str, object], *, env: Mapping[str, str] | None = None, **settings: object) -> None:
        self.port, self.admin_port = free_port(), free_port()
        self.config = root / "regproxy.yaml"
        self.settings: dict[str, object] = {
            "listen": f"{LOOPBACK}:{self.port}",
            "admin_listen": f"{LOOPBACK}:{self.admin_port}",
            "workers": 2,
            "store": {"root": str(root / "store")},
            "drain": "10s",
            "upstreams": upstreams,
            **settings,
        }
        self._log = root / "program.log"
        self._env = {**os.environ, "PYTHONUNBUFFERED": "", **(env or {})}  # as a user has it
        self.process: asyncio.subprocess.Process | None = None

    @asynccontextmanager
    async def running(self, *wrapper: str) -> AsyncIterator[None]:
        """Run, with all workers accepting, and end it by force if need be."""
        process = await self.start(*wrapper)
        try:
            await self.until(self.are_all_accepting)
            yield
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()

    async def start(self, *wrapper: str) -> asyncio.subprocess.Process:
        self.configure()
        command = [*wrapper, sys.executable, "-m", "regproxy", "serve", "--config", str(self.config)]
        with self._log.open("wb") as log:
            self.process = await asyncio.create_subprocess_exec(*command, stdout=log, stderr=log, env=self._env)
        return self.process

    def configure(self, **settings: object) -> None:
        """Write the configuration, with some settings changed."""
        self.settings |= settings
        self.config.write_text(yaml.safe_dump(self.settings))

    def tell(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    async def ended(self) -> int:
        assert self.process is not None
        async with asyncio.timeout(300):
            return await self.process.wait()

    def workers(self) -> list[int]:
        """List the processes that serve: those of the workers, or the only one there is."""
        assert self.process is not None
        if self.settings["workers"] == 1:
            return [self.process.pid]
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(child) for child in children.split()]

    def lines(self) -> list[dict[str, Any]]:
        """Give the log; what is no record fails."""
        return [json.loads(line) for line in self._log.read_text().splitlines()]

    def log(self) -> str:
        return self._log.read_text()

    async def is_ready(self) -> bool:
        try:
            status, _ = await self.admin("/readyz")
        except aiohttp.ClientError:
            return False
        return status == 200

    async def are_all_accepting(self) -> bool:
        return await self.is_ready() and await self.metric("regproxy_workers") == self.settings["workers"]

    async def metric(self, name: str) -> float:
        """Add up a metric over its labels; *name* may go on with the first of them."""
        _, text = await self.admin("/metrics")
        return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(name))

    async def admin(self, path: str, method: str = "GET", body: object = None) -> tuple[int, str]:
        url = f"http://{LOOPBACK}:{self.admin_port}{path}"
        async with aiohttp.ClientSession() as session, session.request(method, url, json=body) as response:
            return response.status, await response.text()

    async def ask(self, path: str) -> tuple[int, bytes]:
        """Ask over a connection of its own, which any worker may get."""
        connector = aiohttp.TCPConnector(force_close=True)
        url = f"http://{LOOPBACK}:{self.port}{path}"
        async with aiohttp.ClientSession(auto_decompress=False, connector=connector) as session, session.get(url) as response:
            return response.status, await response.read()

    async def until(self, is_true: Callable[[], Any], within: float = 300) -> None:
        """Wait for something that another process does."""
        async with asyncio.timeout(within):
            while True:
                found = is_true()
                if await found if asyncio.iscoroutine(found) else found:
                    return
                await asyncio.sleep(0.02)
