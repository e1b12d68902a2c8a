"""A cold layer in parts: containerd 2 fetches several of them at once (`concurrent_layer_fetch_buffer`), upstream sends each byte once."""

from collections.abc import Iterator

import pytest

from .configured import write_configuration
from .conftest import Folders
from .containerd import Containerd, ContainerdPull
from .go_programs import go_program
from .images import LARGE, new_image
from .proxy import HUB, Proxy
from .registry import Registry

_PART = 1024 * 1024
_SETTINGS = f"""
[plugins."io.containerd.transfer.v1.local"]
  max_concurrent_downloads = 8
  concurrent_layer_fetch_buffer = {_PART}
"""


@pytest.fixture(scope="module")
def containerd_in_parts(folder: Folders) -> Iterator[Containerd]:
    containerd = Containerd(folder("containerd-parts"), go_program, settings=_SETTINGS)
    containerd.start()
    yield containerd
    containerd.stop()


def test_n19_05_containerd_fetches_a_cold_layer_in_parts(
    containerd_in_parts: Containerd, folder: Folders, proxy: Proxy, registry: Registry
) -> None:
    image = new_image("demo/parts", LARGE)
    registry.push(image)
    client = ContainerdPull(containerd_in_parts, write_configuration("containerd", folder("hosts-parts"), proxy.url), HUB)
    client.pull(image)
    client.check_content(image)
    size = sum(len(blob.body) for blob in image.blobs)
    assert size <= sum(request.sent for request in registry.blob_requests() if "/demo/parts/" in request.path) <= 1.02 * size
    assert proxy.answered("demo/parts", 206) >= 4, "it came in parts"
