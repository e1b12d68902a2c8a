"""A whole regproxy in this process, between fake registries and clients that look at every byte."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from multidict import CIMultiDict
from yarl import URL

from regproxy.config import Address, load
from regproxy.index.sqlite import SqliteIndex
from regproxy.policy.clients.client_timeouts import ClientTimeouts
from regproxy.ports import DownloadStatus, Ledger
from regproxy.server import sockets
from regproxy.server.supervisor import admin_access
from regproxy.telemetry.history import History
from regproxy.web.admin.app import admin_app
from regproxy.web.app import admin_port, registry_port
from regproxy.web.connection.server import RegistryServer
from regproxy.wiring import Proxy, assembled
from tests.canary import told

LOOPBACK = "127.0.0.1"
USUAL = {"connect": "10s", "headers": "10s", "silence": "10s", "revalidate": "60s"}
QUICK = {"connect": "2s", "headers": "2s", "silence": "2s", "revalidate": "500ms"}  # for one request at a time that is to time out
PATIENT = {"connect": "60s", "headers": "60s", "silence": "60s", "revalidate": "60s", "slow_for": "60s", "progress": "60s"}  # for the rest


@dataclass(frozen=True)
class Answer:
    """What a client got, as far as it got it."""

    status: int
    headers: CIMultiDict[str]
    body: bytes
    is_whole: bool = True


@dataclass
class Rig:
    """A running regproxy and a client of it."""

    proxy: Proxy
    port: int
    admin_port: int
    session: aiohttp.ClientSession = field(repr=False)
    server: RegistryServer = field(repr=False)
    tls: ssl.SSLContext | None = None  # by which it is asked, if it is to be by https
    history: History = field(default_factory=History, repr=False)

    async def ask(self, path: str, method: str = "GET", **headers: str) -> Answer:
        """Ask and read to the end, however that comes."""
        url = URL(f"http{'s' if self.tls else ''}://{LOOPBACK}:{self.port}{path}", encoded=True)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.session.request(method, url, headers=sent, allow_redirects=False, ssl=self.tls or True) as response:
            body = bytearray()
            try:
                async for chunk in response.content.iter_any():
                    body += chunk
            except aiohttp.ClientPayloadError:
                return Answer(response.status, CIMultiDict(response.headers), bytes(body), is_whole=False)
            assert response.status < 400 or told(bytes(body) + repr(response.headers).encode()) is None, "an error tells a secret (S26)"
            return Answer(response.status, CIMultiDict(response.headers), bytes(body))

    async def admin(self, path: str, method: str = "GET", body: object = None) -> tuple[int, Any]:
        """Ask the admin API."""
        async with self.session.request(method, f"http://{LOOPBACK}:{self.admin_port}/api/v1/{path}", json=body) as response:
            return response.status, await response.json() if response.content_length else None

    @property
    def ledger(self) -> Ledger:
        """What the store holds, as the index says."""
        return self.index.ledger()

    @property
    def index(self) -> SqliteIndex:
        assert isinstance(self.proxy.index, SqliteIndex)
        return self.proxy.index

    async def metrics(self) -> str:
        async with self.session.get(f"http://{LOOPBACK}:{self.admin_port}/metrics") as response:
            return await response.text()

    async def hosts(self, upstream: str = "docker.io") -> list[dict[str, Any]]:
        """Ask the admin port how an upstream's hosts are doing, best first."""
        async with self.session.get(f"http://{LOOPBACK}:{self.admin_port}/api/v1/upstreams") as response:
            found: list[dict[str, Any]] = (await response.json())[upstream]["hosts"]
            return found

    async def settled(self) -> None:
        """Wait until no fill is in progress."""
        async with asyncio.timeout(300):
            await self.proxy.fills.idle()


@asynccontextmanager
async def rig(
    root: Path,
    upstreams: Mapping[str, object],
    clock: Callable[[], float] = time.time,
    timeouts: ClientTimeouts | None = None,
    /,
    **settings: object,
) -> AsyncIterator[Rig]:
    """Run regproxy on a store at *root* with *upstreams*, each a host's URL or a mapping as in the configuration."""
    store = settings.get("store", {})
    assert isinstance(store, Mapping)
    document = {
        "listen": f"{LOOPBACK}:5000",
        "default_upstream": next(iter(upstreams)),
        "timeouts": USUAL,
        "drain": "1s",
        "upstreams": {name: _upstream(value) for name, value in upstreams.items()},
        **settings,
        "store": {"root": str(root), "high_watermark": "100%", **store},  # how full the machine's disk is, is no matter
    }
    path = root.with_suffix(".yaml")
    path.write_text(yaml.safe_dump(document))
    configured = load(path, {})
    number = configured.listen.port if "listen" in settings else 0  # members of a fleet have to know it before
    (listeners,), (admin,) = (sockets.opened(Address(LOOPBACK, each)) for each in (number, 0))
    port, admin_number = sockets.port(listeners), sockets.port(admin)
    history = History()
    with ExitStack() as opened:
        for each in (*listeners, *admin):
            opened.enter_context(each)  # also where a store that cannot be used keeps the ports from taking them
        async with (
            assembled(configured, clock) as proxy,
            admin_port(admin_app(proxy.admin, OneProcess(proxy), admin_access(configured, sockets.addresses(admin)), history), admin),
            registry_port(proxy.handlers, listeners, configured.drain, configured.tls, timeouts, configured.proxies()) as server,
            aiohttp.ClientSession(
                auto_decompress=False, connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=None)
            ) as session,
        ):
            yield Rig(proxy, port, admin_number, session, server, history=history)
    assert _left_behind() == []


def _left_behind() -> list[str]:
    """Name the work of ours that should have ended with us."""
    names = [task.get_name() for task in asyncio.all_tasks() if not task.done()]
    return [name for name in names if name.startswith(("fill ", "flight "))]


@dataclass(frozen=True, slots=True)
class OneProcess:
    """The one process of a rig, as the admin port reports on it."""

    proxy: Proxy

    def is_accepting(self) -> bool:
        return True

    def trouble(self) -> None:
        """The store's own trouble is known without it."""

    def downloads(self) -> Sequence[DownloadStatus]:
        return self.proxy.fills.downloads()


def _upstream(value: object) -> object:
    return {"hosts": [{"url": value}]} if isinstance(value, str) else value


@dataclass(frozen=True)
class Raw:
    """Bytes as they came over a socket, and how it ended."""

    received: bytes
    was_reset: bool

    @property
    def body(self) -> bytes:
        return self.received.partition(b"\r\n\r\n")[2]


async def raw(port: int, request: bytes, read: int | None = None) -> Raw:
    """Send bytes and read until the end, or until *read* bytes came and then leave."""
    reader, writer = await asyncio.open_connection(LOOPBACK, port)
    received = bytearray()
    try:
        writer.write(request)
        while chunk := await asyncio.wait_for(reader.read(65536), 300):
            received += chunk
            if read is not None and len(received) >= read:
                break
        return Raw(bytes(received), was_reset=False)
    except ConnectionResetError:
        return Raw(bytes(received), was_reset=True)
    finally:
        writer.close()


def get(path: str, **headers: str) -> bytes:
    """Write a GET request that wants the connection closed."""
    lines = [f"GET {path} HTTP/1.1", "Host: proxy", "Connection: close", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode()


def metric(exposition: str, name: str) -> float:
    """Read a metric that has no labels."""
    return next(float(line.split()[1]) for line in exposition.splitlines() if line.startswith(f"{name} "))
