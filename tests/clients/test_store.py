"""A store with room for little, and one with no network, by real clients."""

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.fakes.volume import content_used, tmpfs
from tests.free_port import free_port

from .client import Client
from .containerd import Containerd, ContainerdPull, write_hosts
from .images import Image, Images
from .proxy import HUB, Proxy
from .registry import Registry
from .skopeo import Skopeo
from .tokens import TokenService

Folders = Callable[[str], Path]

MB = 1_000_000
LIMIT = 48 * MB


@pytest.fixture
def filled(images: Images, registry: Registry) -> list[Image]:
    """Push ten images of 12 MB and one of 64 MB."""
    sizes = {f"demo/app{number}": 12 * MB for number in range(10)} | {"demo/giant": 64 * MB}
    pushed = [images.filled(repository, size) for repository, size in sizes.items()]
    for image in pushed:
        registry.push(image)
    return pushed


@contextmanager
def _serving(folder: Path, upstream_url: str, tokens: TokenService, **store: object) -> Iterator[Proxy]:
    proxy = Proxy(folder, upstream_url, tokens, store=store)
    proxy.start()
    try:
        yield proxy
    finally:
        proxy.stop()


@contextmanager
def _watched(root: Path) -> Iterator[list[int]]:
    """Look at what the store takes all the while."""
    seen: list[int] = []
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.02):
            seen.append(content_used(root))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


def test_more_than_fits_is_pulled_right_and_the_store_is_never_over_its_limit(
    filled: list[Image], registry: Registry, tokens: TokenService, containerd: Containerd, folder: Folders
) -> None:
    """48 MB, ten images of 12 MB and one of 64 MB, by containerd and by skopeo."""
    with tmpfs(folder("small") / "store", "size=64m") as volume:
        with _serving(volume.parent, registry.url, tokens, max_size=f"{LIMIT}B", high_watermark="85%") as proxy, _watched(volume) as seen:
            clients: list[Client] = [
                ContainerdPull(containerd, write_hosts(folder("hosts-small"), "_default", proxy.url), HUB),
                Skopeo(folder("skopeo-small"), proxy.authority),
            ]
            for client in clients:
                for image in filled:
                    client.pull(image)
                    client.check(image)
                client.forget()
            usage = shutil.disk_usage(volume)
        assert 12 * MB < max(seen) <= LIMIT
        assert usage.used < 0.85 * usage.total
        assert [line for line in proxy.complaints() if "more than the store may hold" not in line] == []


def test_what_was_pulled_is_carried_to_a_cluster_without_a_network_and_runs_there(
    images: Images, registry: Registry, tokens: TokenService, containerd: Containerd, folder: Folders, tmp_path: Path
) -> None:
    carried = [images.hello, images.multi, images.layers, images.zstd]
    names = [image.at(HUB) for image in carried]
    with _serving(folder("connected"), registry.url, tokens) as connected:
        client = ContainerdPull(containerd, write_hosts(folder("hosts-connected"), "_default", connected.url), HUB)
        for image in carried:
            client.pull(image)
        connected.store("export", tmp_path / "images.tar", *names)
    client.forget()
    with _serving(folder("isolated"), f"http://127.0.0.1:{free_port()}", tokens) as isolated:
        assert set(isolated.store("import", tmp_path / "images.tar").splitlines()) == {f"imported {name}" for name in names}
        client = ContainerdPull(containerd, write_hosts(folder("hosts-isolated"), "_default", isolated.url), HUB)
        for image in carried:
            client.pull(image)
            client.check(image)
    client.forget()


def test_containerd_imports_what_was_exported_and_runs_it(
    images: Images, proxy: Proxy, containerd_by_default: Client, containerd: Containerd, tmp_path: Path
) -> None:
    proxy.warm(images.hello)
    proxy.store("export", tmp_path / "images.tar", images.hello.at(HUB))
    containerd.ctr("images", "import", tmp_path / "images.tar")
    containerd_by_default.check(images.hello)
    containerd_by_default.forget()
