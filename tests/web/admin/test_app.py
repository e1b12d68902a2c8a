"""Probes: is it alive, is it ready, and what an operator should know that is no reason not to be."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from regproxy.config import Address
from regproxy.policy.clients.admin_access import AdminAccess
from regproxy.ports import DownloadStatus
from regproxy.server import sockets
from regproxy.web.admin.app import admin_app
from regproxy.web.app import admin_port
from tests.fakes.registry import FakeRegistry
from tests.rig import LOOPBACK, Rig, rig


@dataclass
class Crowd:
    """Workers that say what they are told to."""

    accepts: bool = True
    reason: str | None = None

    def is_accepting(self) -> bool:
        return self.accepts

    def trouble(self) -> str | None:
        return self.reason

    def downloads(self) -> Sequence[DownloadStatus]:
        return [DownloadStatus("docker.io/library/app", "sha256:ab", 5, None, 2, 1.5)]


@asynccontextmanager
async def serving(proxy: Rig, workers: Crowd) -> AsyncIterator[str]:
    """Run an admin port with these workers, over the store of a proxy."""
    (listeners,) = sockets.opened(Address(LOOPBACK, 0))
    port = sockets.port(listeners)
    async with admin_port(admin_app(proxy.proxy.admin, workers, AdminAccess(), proxy.history), listeners):
        yield f"http://{LOOPBACK}:{port}"


async def _asked(session: aiohttp.ClientSession, url: str) -> tuple[int, str]:
    async with session.get(url) as response:
        return response.status, await response.text()


@pytest.mark.parametrize(
    ("workers", "answer"),
    [
        (Crowd(), (200, "ready\n")),
        (Crowd(accepts=False), (503, "not ready: no worker accepts\n")),
        (Crowd(reason="no space"), (200, "ready, but the store takes nothing: no space\n")),
    ],
    ids=["ready", "nobody accepts", "full"],
)
async def test_ready_means_that_what_is_here_is_served(proxy: Rig, workers: Crowd, answer: tuple[int, str]) -> None:
    async with serving(proxy, workers) as url:
        assert await _asked(proxy.session, f"{url}/readyz") == answer
        assert await _asked(proxy.session, f"{url}/healthz") == (200, "ok\n")


async def test_a_store_that_cannot_be_read_is_not_ready_and_alive(proxy: Rig, tmp_path: Path) -> None:
    (tmp_path / "store" / "layout").write_text("another")
    async with serving(proxy, Crowd()) as url:
        status, text = await _asked(proxy.session, f"{url}/readyz")
        assert (status, text.startswith("not ready: ")) == (503, True)
        assert await _asked(proxy.session, f"{url}/healthz") == (200, "ok\n")


async def test_credentials_that_are_refused_are_told_and_no_reason_to_serve_nothing(tmp_path: Path) -> None:
    async with FakeRegistry(auth="password", password="another") as upstream:
        entry = {"hosts": [{"url": upstream.url, "credentials": {"username": "user", "password": "canary-password"}}]}
        async with rig(tmp_path / "store", {"docker.io": entry}) as proxy, serving(proxy, Crowd()) as url:
            await proxy.ask("/v2/library/app/manifests/1")
            status, text = await _asked(proxy.session, f"{url}/readyz")
            assert status == 200
            assert text.startswith(f"ready\ncredentials of docker.io refused by {upstream.url}: ")
            assert "canary" not in text


async def test_metrics_have_each_host_and_downloads_are_those_of_the_workers(proxy: Rig, upstream: FakeRegistry) -> None:
    async with serving(proxy, Crowd()) as url:
        assert upstream.url in (await _asked(proxy.session, f"{url}/metrics"))[1].replace('host="', 'host="http://')
        assert '"followers": 2' in (await _asked(proxy.session, f"{url}/api/v1/downloads"))[1]


@pytest.mark.parametrize("path", ["/", "/readyz", "/metrics", "/api/v1/upstreams", "/nowhere"])
async def test_the_admin_port_does_not_tell_what_it_is_written_in(proxy: Rig, path: str) -> None:
    async with proxy.session.get(f"http://{LOOPBACK}:{proxy.admin_port}{path}") as response:
        assert response.headers["Server"] == "regproxy"
