"""Real clients through a node's cache and the cluster's, before two registries that hold different images of one name."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pytest

from .client import Client
from .conftest import Folders
from .containerd import Containerd, ContainerdPull, write_hosts
from .copiers import LayoutClient, crane_copy, oras_copy, regctl_copy
from .distribution import Distribution
from .go_programs import go_program
from .images import Image, Images
from .processes import run
from .server import Server
from .skopeo import Skopeo

ONE, TWO = "one.test", "two.test"
_ALWAYS = {"tags": [{"match": "*", "policy": "always", "fresh_for": "0s"}]}


@dataclass(frozen=True)
class Chain:
    """The node's cache, and what either registry calls team/app:1."""

    node: Server
    images: dict[str, Image]


@pytest.fixture(scope="module")
def chain(folder: Folders, images: Images) -> Iterator[Chain]:
    root = folder("chain")
    held = {ONE: replace(images.hello, repository="team/app"), TWO: replace(images.multi, repository="team/app")}
    registries = {name: Distribution(root / name) for name in held}
    started: list[Distribution | Server] = []
    try:
        for name, registry in registries.items():
            registry.start()
            started.append(registry)
            _push(registry, held[name], root / f"{name}.layout")
        cluster = Server(root / "cluster", {name: {"hosts": [{"url": each.url}], **_ALWAYS} for name, each in registries.items()})
        cluster.start()
        started.append(cluster)
        node = Server(root / "node", {name: {"hosts": [{"url": cluster.url, "kind": "cache"}], **_ALWAYS} for name in registries})
        node.start()
        started.append(node)
        yield Chain(node, held)
    finally:
        for each in reversed(started):
            each.stop()


def _push(registry: Distribution, image: Image, layout: Path) -> None:
    """Push by oras, out of a layout, as the documents may be of any media type."""
    for document in (*image.blobs, *image.manifests):
        path = layout / "blobs" / document.digest.replace(":", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(document.body)
    (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    top = image.top.descriptor | {"annotations": {"org.opencontainers.image.ref.name": image.reference}}
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [top]}))
    target = f"{registry.authority}/{image.repository}:{image.reference}"
    run([go_program("oras"), "copy", "--from-oci-layout", f"{layout}:{image.reference}", "--to-plain-http", target])


def _layout(copy: Callable[[str, Path, str], list[str | Path]], folder: Path, chain: Chain, registry: str, _: Containerd) -> Client:
    return LayoutClient(folder, f"{chain.node.authority}/{registry}", copy)


def _skopeo(folder: Path, chain: Chain, registry: str, _: Containerd) -> Client:
    return Skopeo(folder, f"{chain.node.authority}/{registry}")


def _containerd(folder: Path, chain: Chain, registry: str, containerd: Containerd) -> Client:
    return ContainerdPull(containerd, write_hosts(folder / "hosts", registry, chain.node.url), registry)


CLIENTS: dict[str, Callable[[Path, Chain, str, Containerd], Client]] = {
    "containerd 2": _containerd,
    "crane": partial(_layout, crane_copy),
    "oras": partial(_layout, oras_copy),
    "regctl": partial(_layout, regctl_copy),
    "skopeo": _skopeo,
}


@pytest.mark.parametrize("client", CLIENTS)
def test_n13_18_each_registrys_image_comes_through_two_caches(client: str, chain: Chain, containerd_2: Containerd, tmp_path: Path) -> None:
    """The cluster's default registry used to answer for every other."""
    for registry, image in chain.images.items():
        folder = tmp_path / registry
        folder.mkdir()
        pulling = CLIENTS[client](folder, chain, registry, containerd_2)
        pulling.pull(image)
        pulling.check(image)
        pulling.forget()
