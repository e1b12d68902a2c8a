"""What a person wants of a pull-through cache, asked by the clients they use."""

import pytest

from .client import Client
from .images import Image, Images
from .proxy import Proxy
from .registry import Registry

SMALL = ["hello", "multi"]
IMAGES = [*SMALL, "library", "layers", "zstd"]

# registry.test: its tags are asked for at every pull.
ASKING = {
    "containerd_with_a_host_of_its_own": IMAGES,
    "containerd_with_a_path": SMALL,
    "skopeo_with_a_path": IMAGES,
    "podman_with_a_path": SMALL,
    "crane": SMALL,
    "oras": SMALL,
    "regctl": [*SMALL, "zstd"],
}
# docker.io: a tag stays fresh for some minutes.
TRUSTING = {
    "containerd_by_default": IMAGES,
    "containerd_2_by_default": IMAGES,
    "nerdctl": SMALL,
    "skopeo": SMALL,
    "podman": IMAGES,
    "buildah": SMALL,
    "docker": [*SMALL, "library", "layers"],  # docker 20.10 cannot unpack zstd
}
CLIENTS = ASKING | TRUSTING
PULLS = [(client, image) for client, pulled in CLIENTS.items() for image in pulled]


@pytest.mark.parametrize(("client", "image"), PULLS, indirect=True)
def test_a_second_pull_brings_the_same_and_asks_upstream_for_no_blob(client: Client, image: Image, registry: Registry) -> None:
    pull(client, image)
    client.forget()
    before = registry.blob_requests()
    pull(client, image)
    assert registry.blob_requests() == before


@pytest.mark.parametrize("client", ASKING, indirect=True)
def test_a_tag_that_must_be_asked_for_costs_a_head_at_each_pull(client: Client, images: Images, registry: Registry) -> None:
    client.pull(images.hello)
    client.forget()
    before = registry.requests()
    client.pull(images.hello)
    asked = registry.requests()[len(before) :]
    assert {(request.method, request.path) for request in asked} == {("HEAD", "/v2/demo/hello/manifests/1")}


@pytest.mark.parametrize("client", TRUSTING, indirect=True)
def test_a_fresh_tag_costs_upstream_nothing(client: Client, images: Images, registry: Registry) -> None:
    client.pull(images.hello)
    client.forget()
    before = registry.requests()
    client.pull(images.hello)
    assert registry.requests() == before


@pytest.mark.parametrize("client", CLIENTS, indirect=True)
def test_what_is_pulled_by_digest_costs_upstream_nothing_once_it_is_cached(
    client: Client, images: Images, registry: Registry, proxy: Proxy
) -> None:
    proxy.warm(images.multi)
    before = registry.requests()
    pull(client, images.multi.by_digest())
    assert registry.requests() == before


@pytest.mark.parametrize(("client", "names"), CLIENTS.items(), ids=CLIENTS, indirect=["client"])
def test_what_is_cached_is_pulled_without_upstream_and_after_a_restart_too(
    client: Client, images: Images, registry: Registry, proxy: Proxy, names: list[str]
) -> None:
    wanted: list[Image] = [getattr(images, name) for name in names]
    for image in wanted:
        proxy.warm(image)
    with registry.outage():
        for image in wanted:
            pull(client, image)
        client.forget()
        proxy.restart()
        for image in wanted:
            pull(client, image)


def pull(client: Client, image: Image) -> None:
    client.pull(image)
    client.check(image)
