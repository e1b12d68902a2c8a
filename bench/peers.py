"""Programs that are measured: regproxy, a registry for it to stand before, and nginx as the mark; `bench.caches` has its peers."""

import asyncio
import json
import ssl
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import aiohttp
import yaml

from tests.free_port import free_port
from tests.rig import LOOPBACK

_PROBES = 10  # connections, which the kernel spreads over a program's processes: one that is still starting lets its own wait
_MOST_WARNINGS = 20


@dataclass(frozen=True)
class Upstream:
    """A registry that peers stand before, and who they are to it."""

    url: str
    username: str | None = None
    password: str | None = None

    def credentials(self) -> dict[str, str]:
        return {"username": self.username, "password": self.password} if self.username and self.password else {}


@dataclass(frozen=True)
class Peer:
    """A program that serves."""

    port: int
    pid: int
    scheme: str = "http"
    admin_port: int | None = None
    address: str = LOOPBACK

    def url(self, path: str) -> str:
        return f"{self.scheme}://{self.address}:{self.port}{path}"

    async def metric(self, name: str) -> float:
        """Add up a metric over its labels; regproxy's alone."""
        async with aiohttp.ClientSession() as session, session.get(f"http://{self.address}:{self.admin_port}/metrics") as response:
            lines = (await response.text()).splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))


Start: TypeAlias = Callable[[Upstream, Path], AbstractAsyncContextManager[Peer]]


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, in PEM files."""

    certificate: Path
    key: Path


def self_signed(root: Path) -> Pair:
    """Make a certificate that nobody has to believe."""
    pair = Pair(root / "certificate.pem", root / "key.pem")
    kind = ("-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=localhost")
    subprocess.run(["openssl", "req", *kind, "-keyout", str(pair.key), "-out", str(pair.certificate)], check=True, capture_output=True)
    return pair


@asynccontextmanager
async def regproxy(
    upstream: Upstream,
    root: Path,
    pair: Pair | None = None,
    python: str = sys.executable,
    port: int | None = None,
    **settings: object,
) -> AsyncIterator[Peer]:
    """Run regproxy as it comes, but for *settings*: workers, metrics, an access line for every request; *python* is the one it lies in."""
    command, port, admin_port = configured(upstream, root, pair, python, port, **settings)
    async with running(command, root, port, _trusting(pair)) as peer:
        yield replace(peer, scheme="https" if pair else "http", admin_port=admin_port)


def configured(
    upstream: Upstream,
    root: Path,
    pair: Pair | None = None,
    python: str = sys.executable,
    port: int | None = None,
    /,
    **settings: object,
) -> tuple[list[str], int, int]:
    """Write the configuration of a regproxy, and return the command that runs it, its port and its admin port."""
    credentials = upstream.credentials()
    host = {"url": upstream.url, **({"credentials": credentials} if credentials else {})}
    port, admin_port = port or free_port(), free_port()
    document = {
        "listen": f"{LOOPBACK}:{port}",
        "admin_listen": f"{LOOPBACK}:{admin_port}",
        "store": {"root": str(root / "store"), "high_watermark": "100%"},
        "upstreams": {"docker.io": {"hosts": [host]}},
        "tls": {"certificate": str(pair.certificate), "key": str(pair.key)} if pair else None,
        **settings,
    }
    config = root / "regproxy.yaml"
    config.write_text(yaml.safe_dump(document))
    return [python, "-P", "-m", "regproxy", "serve", "--config", str(config)], port, admin_port


@asynccontextmanager
async def origin(root: Path) -> AsyncIterator[Peer]:
    """Run docker-registry as a registry of its own, that may be pushed to."""
    async with distribution(root, {}) as peer:
        yield peer


@asynccontextmanager
async def nginx(files: Path, root: Path, pair: Pair | None = None) -> AsyncIterator[Peer]:
    """Run nginx over files that lie as their paths say: the mark to measure by, as it knows no registry and writes no log."""
    port = free_port()
    config = root / "nginx.conf"
    tls = f"ssl_certificate {pair.certificate}; ssl_certificate_key {pair.key};" if pair else ""
    config.write_text(_NGINX.format(root=root, listen=f"{LOOPBACK}:{port}{' ssl' if pair else ''}", files=files, tls=tls))
    async with running(["nginx", "-c", str(config), "-e", str(root / "error.log")], root, port) as peer:
        yield replace(peer, scheme="https") if pair else peer


_NGINX = """
daemon off;
user root;
worker_processes auto;
worker_rlimit_nofile 20000;
pid {root}/nginx.pid;
error_log {root}/error.log;
events {{ worker_connections 8192; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 1000000000;
    open_file_cache max=1000;
    server {{
        listen {listen} backlog=4096;
        {tls}
        root {files};
        default_type application/octet-stream;
        location ~ /manifests/ {{ default_type application/vnd.oci.image.manifest.v1+json; }}
    }}
}}
"""


@asynccontextmanager
async def distribution(root: Path, settings: Mapping[str, object], program: Sequence[str] = ("docker-registry",)) -> AsyncIterator[Peer]:
    """Run a registry of the distribution project, Debian's unless another *program* is named."""
    port = free_port()
    document = {
        "version": 0.1,
        "log": {"level": "error", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(root / "store")}},
        "http": {"addr": f"{LOOPBACK}:{port}", "secret": "not secret"},
        **settings,
    }
    config = root / "config.yml"
    config.write_text(yaml.safe_dump(document))
    async with running([*program, "serve", str(config)], root, port) as peer:
        yield peer


@asynccontextmanager
async def running(
    command: Sequence[str], root: Path, port: int, tls: ssl.SSLContext | None = None, address: str = LOOPBACK
) -> AsyncIterator[Peer]:
    """Run a program, its output in a file, from when all its processes answer."""
    with (root / "log").open("wb") as log:
        program = await asyncio.create_subprocess_exec(*command, stdout=log, stderr=log)
    try:
        async with asyncio.timeout(60):
            for _ in range(_PROBES):
                while not await _answers(address, port, tls):
                    if program.returncode is not None:
                        raise RuntimeError(f"{command[0]} ended: {(root / 'log').read_text()}")
                    await asyncio.sleep(0.05)
        yield Peer(port, program.pid, address=address)
    finally:
        with suppress(ProcessLookupError):  # somebody has killed it
            program.terminate()
        await program.wait()


def complaints(root: Path) -> list[str]:
    """Count what programs below *root* complained of."""
    found: Counter[str] = Counter()
    for log in root.rglob("log"):
        for line in log.read_text().splitlines():
            record = json.loads(line)
            if record.get("level") not in {"info", "debug"}:
                found[" ".join(f"{name}={record[name]}" for name in ("level", "message", "reason", "member") if name in record)] += 1
    return [f"{count} x {text}" for text, count in found.most_common(_MOST_WARNINGS)]


def _trusting(pair: Pair | None) -> ssl.SSLContext | None:
    """Encrypt, and believe the one certificate; None where there is none."""
    if pair is None:
        return None
    context = ssl.create_default_context(cafile=str(pair.certificate))
    context.check_hostname = False
    return context


async def _answers(address: str, port: int, tls: ssl.SSLContext | None) -> bool:
    """Ask anything, and wait for a word."""
    try:
        reader, writer = await asyncio.open_connection(address, port, ssl=tls)
    except OSError:
        return False
    try:
        writer.write(b"GET /v2/ HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")
        return bool(await reader.read(1))
    except OSError:
        return False
    finally:
        writer.close()


RESULTS = Path(__file__).with_name("results")
