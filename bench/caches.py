"""Caches for registries that a user would run instead of regproxy, each as its own documents say, and those of them that are installed.

Two of them know no registry: nginx and Varnish cache what a registry that asks for no token answers. What their users decide is decided
here as for regproxy: a manifest by tag is fresh for minutes, and everything fits.
"""

import json
import shutil
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from yarl import URL

from bench.peers import Peer, Start, Upstream, distribution, regproxy, running
from tests.clients.go_programs import go_program
from tests.clients.programs import SEARCHED
from tests.free_port import free_port
from tests.rig import LOOPBACK


@asynccontextmanager
async def docker_registry(upstream: Upstream, root: Path) -> AsyncIterator[Peer]:
    """Run Debian's docker-registry as a pull-through cache."""
    async with distribution(root, {"proxy": {"remoteurl": upstream.url, **upstream.credentials()}}) as peer:
        yield peer


@asynccontextmanager
async def distribution_3(upstream: Upstream, root: Path) -> AsyncIterator[Peer]:
    """Run distribution 3 as a pull-through cache; it exports traces unless it is told that nobody wants them."""
    program = ["env", "OTEL_TRACES_EXPORTER=none", str(go_program("registry"))]
    async with distribution(root, {"proxy": {"remoteurl": upstream.url, **upstream.credentials()}}, program) as peer:
        yield peer


@asynccontextmanager
async def drayage(upstream: Upstream, root: Path) -> AsyncIterator[Peer]:
    """Run drayage of the dependency group `bench`; names without a registry are docker.io's to it."""
    port = free_port()
    (root / "cache").mkdir()  # it makes none
    settings = {"listen": f"{LOOPBACK}:{port}", "cache_dir": str(root / "cache")}
    config = root / "config.toml"
    config.write_text(f"{_toml(settings)}[upstreams.docker_io]\n{_toml({'registry': upstream.url, **upstream.credentials()})}")
    async with running([str(_DRAYAGE), "serve", "--config", str(config)], root, port) as peer:
        yield peer


@asynccontextmanager
async def nginx_cache(upstream: Upstream, root: Path) -> AsyncIterator[Peer]:
    """Run nginx with proxy_cache, slice and proxy_cache_lock, its settings being those of rpardini/docker-registry-proxy."""
    port = free_port()
    config = root / "nginx.conf"
    config.write_text(_NGINX.format(root=root, listen=f"{LOOPBACK}:{port}", upstream=upstream.url))
    async with running(["nginx", "-c", str(config), "-e", str(root / "error.log")], root, port) as peer:
        yield peer


# Manifests are cached as with ENABLE_MANIFEST_CACHE=true. Its slices of 4 MB make one download of those who ask for a layer at once.
_NGINX = """
daemon off;
user root;
worker_processes auto;
worker_rlimit_nofile 20000;
pid {root}/nginx.pid;
error_log {root}/error.log;
events {{ worker_connections 8192; }}
http {{
    access_log {root}/access.log;
    default_type application/octet-stream;
    gzip off;
    keepalive_requests 1000000000;
    proxy_cache_path {root}/cache levels=1:2 max_size=32g inactive=60d keys_zone=cache:10m use_temp_path=off;
    proxy_temp_path {root}/temporary;
    server {{
        listen {listen} backlog=4096;
        chunked_transfer_encoding on;
        proxy_http_version 1.1;
        proxy_read_timeout 900;
        proxy_cache cache;
        proxy_cache_key $uri;
        proxy_cache_lock on;
        proxy_cache_lock_timeout 880s;
        proxy_cache_valid 200 206 60d;
        proxy_cache_use_stale error timeout http_500 http_502 http_504 http_429;
        proxy_cache_revalidate on;
        proxy_force_ranges on;
        proxy_ignore_client_abort on;
        proxy_ignore_headers X-Accel-Expires Expires Cache-Control Set-Cookie;
        location ~ ^/v2/.*/blobs/sha256: {{
            slice 4m;
            proxy_cache_key $uri$slice_range;
            proxy_set_header Range $slice_range;
            proxy_pass {upstream};
        }}
        location ~ ^/v2/.*/manifests/sha256: {{ proxy_pass {upstream}; }}
        location ~ ^/v2/.*/manifests/ {{ proxy_cache_valid 1h; proxy_pass {upstream}; }}
        location / {{ proxy_cache off; proxy_pass {upstream}; }}
    }}
}}
"""


@asynccontextmanager
async def varnish(upstream: Upstream, root: Path) -> AsyncIterator[Peer]:
    """Run Varnish over a file, as its users' guide advises for what exceeds memory; it streams, and joins who asks at once, by itself."""
    port = free_port()
    host = URL(upstream.url)
    vcl = root / "default.vcl"
    vcl.write_text(_VCL.format(host=host.host, port=host.port))
    listen = ["-a", f"{LOOPBACK}:{port}", "-f", str(vcl), "-s", f"file,{root / 'storage'},8g"]
    async with running(["varnishd", "-F", "-j", "none", "-n", str(root / "work"), *listen], root, port) as peer:
        yield peer


_VCL = """
vcl 4.1;
backend default {{ .host = "{host}"; .port = "{port}"; }}
sub vcl_backend_response {{
    if (beresp.status == 200 && bereq.url ~ "^/v2/.*/(blobs|manifests)/") {{
        set beresp.ttl = 1h;
        if (bereq.url ~ "/sha256:") {{ set beresp.ttl = 60d; }}
    }}
}}
"""


def _toml(settings: Mapping[str, str]) -> str:
    return "".join(f"{name} = {json.dumps(value)}\n" for name, value in settings.items())


_DRAYAGE = Path(sys.executable).with_name("drayage")


@dataclass(frozen=True)
class Cache:
    """A cache: how it is started, the program that it is, how that is installed, and what it does not do."""

    start: Start
    program: str
    advice: str
    gets_tokens: bool = True
    joins_clients: bool = True  # False: upstream sends a blob once for each of those who ask for it at once

    def is_installed(self) -> bool:
        return shutil.which(self.program, path=SEARCHED) is not None


def _built(name: str) -> str:
    try:
        return str(go_program(name))
    except (pytest.skip.Exception, pytest.fail.Exception):
        return name


CACHES: Mapping[str, Cache] = {
    "regproxy": Cache(regproxy, sys.executable, "make run"),
    "docker-registry": Cache(docker_registry, "docker-registry", "apt-get install docker-registry", joins_clients=False),
    "distribution-3": Cache(distribution_3, _built("registry"), "make clients", joins_clients=False),
    "drayage": Cache(drayage, str(_DRAYAGE), "pip install --group bench"),
    "nginx-proxy_cache": Cache(nginx_cache, "nginx", "apt-get install nginx", gets_tokens=False),
    "varnish": Cache(varnish, "varnishd", "apt-get install varnish", gets_tokens=False),
}


def installed(caches: Mapping[str, Cache] = CACHES) -> dict[str, Start]:
    """List those that can be run here, and print how the others are installed."""
    for name, cache in caches.items():
        if not cache.is_installed():
            print(f"{name} is left out: {cache.advice}", flush=True)
    return {name: cache.start for name, cache in caches.items() if cache.is_installed()}
