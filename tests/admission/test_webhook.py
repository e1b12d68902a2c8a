"""The real webhook, asked by https as an API server asks it, before a real regproxy."""

import asyncio
import base64
import io
import json
import socket
import ssl
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.clients.processes import Daemon, is_listening
from tests.fakes.authority import Authority, Pair
from tests.fakes.registry import FakeRegistry
from tests.fakes.served import Served
from tests.free_port import free_port

from .test_review import document, pod


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def pair(authority: Authority) -> Pair:
    return authority.issue("webhook")


def webhook(folder: Path, pair: Pair, port: int, registry: str) -> Daemon:
    config = folder / "webhook.yaml"
    config.write_text("upstreams: {docker.io: {deny: ['*:latest']}}")
    options = [f"--config={config}", f"--listen=127.0.0.1:{port}", f"--certificate={pair.certificate}", f"--key={pair.key}"]
    command = [sys.executable, "-m", "regproxy", "admission", *options, f"--registry={registry}", "--own-namespace=regproxy"]
    daemon = Daemon(command, folder / "webhook.log")
    daemon.start(lambda: is_listening(port))
    return daemon


async def ask(port: int, ca: Path, path: str, review: dict[str, Any]) -> dict[str, Any]:
    """Ask on a connection of its own, trusting *ca* alone."""
    context = ssl.create_default_context(cafile=ca)
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session,
        session.post(f"https://127.0.0.1:{port}{path}", json=review) as response,
    ):
        assert response.status == 200
        found: dict[str, Any] = (await response.json())["response"]
        return found


def _most_memory(daemon: Daemon) -> int:
    """Tell how many bytes of memory it has had at most."""
    lines = Path(f"/proc/{daemon.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


def patched(response: dict[str, Any]) -> list[dict[str, str]]:
    found: list[dict[str, str]] = json.loads(base64.b64decode(response["patch"])) if "patch" in response else []
    return found


async def test_n15_02_a_known_tag_is_pinned_without_a_question_upstream(authority: Authority, pair: Pair, tmp_path: Path) -> None:
    port = free_port()
    async with FakeRegistry() as upstream, aiohttp.ClientSession() as session:
        image = upstream.add_image("library/app", "1", [b"layer"])
        served = Served(tmp_path / "store", upstream)
        async with served.running(session):
            daemon = webhook(tmp_path, pair, port, f"http://127.0.0.1:{served.port}")
            await served.pull(session, "library/app", "manifests/1")
            asked = len(upstream.ledger)
            response = await ask(port, authority.ca, "/mutate", document(pod("app:1", "app:none", init=("app:1",))))
            assert response["allowed"] is True
            pinned = f"app:1@{image.digest}"
            assert patched(response) == [
                {"op": "replace", "path": "/spec/initContainers/0/image", "value": pinned},
                {"op": "replace", "path": "/spec/containers/0/image", "value": pinned},
            ]
            assert [entry for entry in upstream.ledger[asked:] if not entry.path.endswith("/none")] == []
        unpinned = await ask(port, authority.ca, "/mutate", document(pod("app:1")))
        assert unpinned == {"uid": "u-1", "allowed": True}
        denied = await ask(port, authority.ca, "/validate", document(pod("app")))
        assert denied["allowed"] is False
        assert (await ask(port, authority.ca, "/validate", document(pod("app:1"))))["allowed"] is True
        daemon.stop()


@pytest.fixture
def silent() -> Iterator[int]:
    """Give a port that takes connections and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


async def test_n15_02_a_cache_that_is_silent_keeps_no_pod_waiting(authority: Authority, pair: Pair, tmp_path: Path, silent: int) -> None:
    port = free_port()
    daemon = webhook(tmp_path, pair, port, f"http://127.0.0.1:{silent}")
    assert await ask(port, authority.ca, "/mutate", document(pod("app:1"))) == {"uid": "u-1", "allowed": True}
    daemon.stop()


async def test_n15_02_a_renewed_certificate_counts_at_once(authority: Authority, pair: Pair, tmp_path: Path) -> None:
    port = free_port()
    daemon = webhook(tmp_path, pair, port, "http://127.0.0.1:1")
    assert (await ask(port, authority.ca, "/validate", document(pod("app:1"))))["allowed"] is True
    other = Authority(tmp_path, "other")
    other.issue("webhook", into=pair)
    assert (await ask(port, other.ca, "/validate", document(pod("app:1"))))["allowed"] is True
    daemon.stop()


BODIES = [
    (b"", 400),
    (b"{}", 400),
    (b"[" * 100_000, 400),  # too deep
    (b"[" + b"[]," * 2_700_000 + b"1]", 400),  # too many values
    (b"1" * (8 * 1024 * 1024 + 1), 400),  # too large
    (json.dumps(document(pod(*["app:1"] * 40_000, "app"))).encode(), 200),  # a review all the same
]


async def test_n15_02_no_review_costs_much(authority: Authority, pair: Pair, tmp_path: Path) -> None:
    """Whoever reaches the port may send one: neither what is in it nor how slowly it comes keeps others from their answer."""
    port = free_port()
    daemon = webhook(tmp_path, pair, port, "http://127.0.0.1:1")
    context = ssl.create_default_context(cafile=authority.ca)
    before = _most_memory(daemon)
    head = b"POST /validate HTTP/1.1\r\nHost: x\r\nContent-Length: 8000000\r\n\r\n{"
    slow = [await asyncio.open_connection("127.0.0.1", port, ssl=context) for _ in range(8)]
    for _, writer in slow:
        writer.write(head)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session:
        for body, status in BODIES:
            headers = {"Content-Type": "application/json; charset=nonsense"}
            async with session.post(f"https://127.0.0.1:{port}/validate", data=io.BytesIO(body), headers=headers) as response:
                assert response.status == status, body[:10]
    assert (await ask(port, authority.ca, "/validate", document(pod("app:1"))))["allowed"] is True
    for reader, writer in slow:
        assert (await reader.readline()).startswith(b"HTTP/1.1 503 "), "it came too slowly"
        writer.close()
    assert _most_memory(daemon) - before < 64 * 1024 * 1024
    daemon.stop()
