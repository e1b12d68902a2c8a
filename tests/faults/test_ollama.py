"""Models by Ollama, in the requests of its server/download.go (0.9 to 0.15): it cannot be built here without a compiler for its engines."""

import asyncio
import random

import pytest
from yarl import URL

from regproxy.oci.digest import Digest
from tests.fakes.registry import FakeRegistry
from tests.rig import LOOPBACK, Rig

NAME = "library/tiny"
AGENT = "ollama/0.15.4 (amd64 linux) Go/go1.24.1"
PARTS = 16  # of a blob at once, by default
MODEL = random.Random(19).randbytes(20_000_000)
TEMPLATE = b"{{ .Prompt }}"


async def downloaded(proxy: Rig, digest: Digest, parts: int) -> bytes:
    """Fetch a blob as Ollama does: its size by HEAD, where it is by a GET that is left at once, then all parts at the same time."""
    path = f"http://{LOOPBACK}:{proxy.port}/v2/{NAME}/blobs/{digest}"
    agent = {"User-Agent": AGENT}
    async with proxy.session.head(path, headers=agent) as response:
        size = int(response.headers["Content-Length"])
    async with proxy.session.get(path, headers=agent, allow_redirects=False) as response:
        assert response.status == 200
        found = response.url.join(URL(response.headers["Location"], encoded=True))
        response.close()

    async def part(start: int) -> bytes:
        stop = min(start + step, size) - 1
        async with proxy.session.get(found, headers={"User-Agent": "Go-http-client/1.1", "Range": f"bytes={start}-{stop}"}) as response:
            assert response.status == 206
            return await response.read()

    step = -(-size // parts)
    return b"".join(await asyncio.gather(*(part(start) for start in range(0, size, step))))


@pytest.fixture
async def models(upstream: FakeRegistry) -> FakeRegistry:
    upstream.add_image(NAME, "latest", [MODEL, TEMPLATE])
    return upstream


async def test_n19_05_ollama_pulls_a_model_that_is_not_cached(models: FakeRegistry, proxy: Rig) -> None:
    for body, parts in ((MODEL, PARTS), (TEMPLATE, 1)):
        assert await downloaded(proxy, Digest.of(body), parts) == body
    await proxy.settled()
    sent = sum(entry.sent for entry in models.ledger if entry.kind == "blobs" and entry.method == "GET")
    assert sent <= 1.02 * (len(MODEL) + len(TEMPLATE)), "what is waited for is what is stored"
    for body, parts in ((MODEL, PARTS), (TEMPLATE, 1)):
        assert await downloaded(proxy, Digest.of(body), parts) == body


async def test_n19_05_ollama_pulls_what_is_cached(models: FakeRegistry, proxy: Rig) -> None:
    for body in (MODEL, TEMPLATE):
        assert (await proxy.ask(f"/v2/{NAME}/blobs/{Digest.of(body)}")).body == body
    await proxy.settled()
    await models.stop()
    for _ in range(2):  # the second answer comes from memory
        assert await downloaded(proxy, Digest.of(MODEL), PARTS) == MODEL
        assert await downloaded(proxy, Digest.of(TEMPLATE), 1) == TEMPLATE


@pytest.mark.usefixtures("models")
async def test_n19_05_others_are_told_of_no_other_place(proxy: Rig) -> None:
    path = f"/v2/{NAME}/blobs/{Digest.of(TEMPLATE)}"
    await downloaded(proxy, Digest.of(TEMPLATE), 1)
    for agent in ("containerd/2.1", "ollama", ""):
        assert "Location" not in (await proxy.ask(path, User_Agent=agent)).headers
    assert "Location" not in (await proxy.ask(path, User_Agent=AGENT, Range="bytes=0-3")).headers
