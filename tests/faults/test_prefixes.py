"""Paths before /v2, and the root."""

import json

import pytest

from tests.fakes.registry import FakeRegistry
from tests.rig import Rig

NAME = "library/app"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_n13_17_the_root_says_what_is_here(proxy: Rig, method: str) -> None:
    answer = await proxy.ask("/", method)
    assert (answer.status, b"regproxy" in answer.body) == (200, method == "GET")
    assert (await proxy.ask("/", "POST")).status == 404


@pytest.mark.parametrize("prefix", ["mirror", "Dockerhub_1", "docker.io"])
async def test_n13_17_a_path_before_v2_is_that_of_a_runtime_or_an_ingress(proxy: Rig, upstream: FakeRegistry, prefix: str) -> None:
    digest = upstream.add_blob(NAME, b"layer")
    upstream.add_image(NAME, "1", [b"layer"])
    for path in ("/v2/", "/v2", f"/v2/{NAME}/manifests/1", f"/v2/{NAME}/blobs/{digest}", f"/v2/{NAME}/tags/list"):
        assert (await proxy.ask(f"/{prefix}{path}")).status == 200


async def test_n13_17_a_prefix_like_a_registry_names_it_and_gets_nothing_of_another(proxy: Rig, upstream: FakeRegistry) -> None:
    """Wrong content is worse than none: quay.io's name in front must not bring the default registry's image."""
    upstream.add_image(NAME, "1", [b"layer"])
    for prefix in ("quay.example", "localhost:5000"):
        answer = await proxy.ask(f"/{prefix}/v2/{NAME}/manifests/1")
        assert answer.status == 404, answer.body


@pytest.mark.parametrize("path", ["/a/b/v2/", "/a//v2/", "//v2/", "/../v2/", "/%2e/v2/", "/a/v1/", "/a/v2x/", "/v1/_ping", "/a b/v2/"])
async def test_n13_17_other_paths_are_none_of_ours(proxy: Rig, path: str) -> None:
    answer = await proxy.ask(path.replace(" ", "%20"))
    assert (answer.status, list(json.loads(answer.body))) == (404, ["errors"])
