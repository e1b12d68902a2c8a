"""The picture of the admin page in the documentation: `python -m tests.web.admin.picture` takes it, of minutes of pulls."""

import asyncio
import math
import random
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path

from regproxy.oci.manifest import OCI_INDEX
from regproxy.telemetry import metrics
from tests.clients.browser import browser
from tests.fakes.deeds import Stall
from tests.fakes.entry import on
from tests.fakes.registry import FakeRegistry
from tests.rig import LOOPBACK, Rig, rig

from .page_store import index_of, pull

PICTURE = Path(__file__).parents[3] / "docs" / "admin-page.png"
_SECONDS = 180
_NOTED = 12  # until pulls are recorded
_IMAGES = (
    ("docker.io", "library/nginx", "1.27-alpine", 11),
    ("docker.io", "library/redis", "7.4", 16),
    ("docker.io", "library/postgres", "17", 31),
    ("docker.io", "grafana/grafana", "11.3.1", 43),
    ("quay.io", "prometheus/prometheus", "v3.1.0", 38),
    ("quay.io", "cilium/cilium", "v1.16.5", 57),
    ("registry.k8s.io", "pause", "3.10", 1),
    ("registry.k8s.io", "coredns/coredns", "v1.12.0", 9),
    ("ghcr.io", "fluxcd/source-controller", "v1.4.1", 13),
)
_ONE = random.Random(7)


def _fill(upstream: FakeRegistry) -> None:
    for _, repository, tag, size in _IMAGES:
        one = upstream.add_image(repository, None, [_ONE.randbytes((size << 20) // 4 * share) for share in (1, 3)])
        index = index_of(one, {"os": "linux", "architecture": "amd64"}, repository)
        upstream.add_manifest(repository, index, OCI_INDEX, tag)


async def _pulls(proxy: Rig) -> None:
    """Pull ever more of the images, at a rate that comes and goes."""
    began = time.monotonic()
    while (passed := time.monotonic() - began) < _SECONDS:
        known = 2 + int(passed / _SECONDS * (len(_IMAGES) - 2) * 1.3)
        for _ in range(round(2 + 2 * math.sin(passed / 25) + _ONE.random() * 2)):
            registry, repository, tag, _ = _ONE.choice(_IMAGES[:known])
            await pull(proxy, f"{registry}/{repository}", tag)
        proxy.history.take()
        await asyncio.sleep(3)


async def _stalled(proxy: Rig, upstream: FakeRegistry, tasks: asyncio.TaskGroup) -> Stall:
    body = _ONE.randbytes(48 << 20)
    digest = upstream.add_blob("library/python", body)
    stall = Stall(len(body) * 2 // 3)
    upstream.misbehave(on("GET", f"/blobs/{digest}"), stall)
    for _ in range(12):
        tasks.create_task(proxy.ask(f"/v2/docker.io/library/python/blobs/{digest}"))
    await stall.reached.wait()
    return stall


async def _take() -> None:
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        upstream = await stack.enter_async_context(FakeRegistry())
        _fill(upstream)
        upstreams = {registry: upstream.url for registry, *_ in _IMAGES}
        proxy = await stack.enter_async_context(rig(folder / "store", upstreams, timeouts={}))
        metrics.WORKERS.set(2)  # as a supervisor would
        await _pulls(proxy)
        await asyncio.sleep(_NOTED)
        await proxy.admin("store/pin", "POST", {"image": "registry.k8s.io/pause:3.10", "pinned": True})
        await proxy.admin("freezes", "POST", {"pattern": "docker.io/library/postgres:17"})
        page = await stack.enter_async_context(browser(folder / "profile"))
        async with asyncio.TaskGroup() as tasks:
            stall = await _stalled(proxy, upstream, tasks)
            await page.look(1280, 1400)
            await page.ask("url", {"url": f"http://{LOOPBACK}:{proxy.admin_port}/"})
            await page.until("document.querySelector('#charts polyline') && document.querySelector('#images tbody tr')")
            await page.until("[...document.querySelectorAll('#downloads tbody tr')].some(each => each.textContent.includes('%'))")
            await page.screenshot(PICTURE)
            stall.event.set()


if __name__ == "__main__":
    asyncio.run(_take())
