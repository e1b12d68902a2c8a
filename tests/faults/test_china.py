"""config/china.yaml against a mirror that behaves as its operators say: DaoCloud's README and allow-list, Aliyun's google_containers."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.fakes.deeds import Status
from tests.fakes.entry import on
from tests.fakes.public_mirror import PublicMirror, Stage
from tests.fakes.registry import FakeRegistry
from tests.rig import PATIENT, Rig, rig

DAOCLOUD, ALIYUN = "https://m.daocloud.io", "https://registry.cn-hangzhou.aliyuncs.com"
REGISTRIES = ("docker.io", "gcr.io", "ghcr.io", "registry.k8s.io", "mcr.microsoft.com", "nvcr.io", "quay.io", "docker.elastic.co")
NAME = "team/app"
EXAMPLE = Path("config/china.yaml").read_text()
LAYERS = [b"one", b"two", b"three", b"four"]


@pytest.fixture
async def cdn() -> AsyncIterator[FakeRegistry]:
    async with FakeRegistry(address="127.0.0.1") as storage:
        yield storage


@pytest.fixture
async def mirror(cdn: FakeRegistry) -> AsyncIterator[PublicMirror]:
    async with PublicMirror(cdn) as found:
        yield found


@pytest.fixture
async def aliyun() -> AsyncIterator[FakeRegistry]:
    async with FakeRegistry(auth="anonymous") as found:
        yield found


@pytest.fixture
async def china(mirror: PublicMirror, aliyun: FakeRegistry, upstream: FakeRegistry, tmp_path: Path) -> AsyncIterator[Rig]:
    """Run the example, its mirrors and registries being ours."""
    document: dict[str, Any] = yaml.safe_load(EXAMPLE)
    places = {DAOCLOUD: mirror.url, ALIYUN: aliyun.url}
    for name, entry in document["upstreams"].items():
        entry["hosts"] = [{**host, "url": places.get(host["url"], upstream.url), "prefix": _prefix(name, host)} for host in entry["hosts"]]
    async with rig(tmp_path / "store", document["upstreams"], timeouts=PATIENT) as running:
        yield running


def _prefix(name: str, host: dict[str, str]) -> str:
    """Let the registries, which are one here, be told apart as the mirror tells them."""
    return host.get("prefix", "") if host["url"] in {DAOCLOUD, ALIYUN} else f"of/{name}"


def _blobs(manifest: bytes) -> list[str]:
    found = json.loads(manifest)
    return [each["digest"] for each in (*found["layers"], found["config"])]


async def _pull(china: Rig, registry: str, name: str = NAME) -> list[int]:
    """Pull an image by its tag, as a node does, and return the statuses of all that it asked for."""
    manifest = await china.ask(f"/v2/{name}/manifests/1?ns={registry}")
    if manifest.status != 200:
        return [manifest.status]
    blobs = [await china.ask(f"/v2/{name}/blobs/{digest}?ns={registry}") for digest in _blobs(manifest.body)]
    return [manifest.status, *(blob.status for blob in blobs)]


def _asked(registry: FakeRegistry, kind: str) -> int:
    return registry.count("GET", kind) + registry.count("HEAD", kind)


@pytest.mark.parametrize("registry", REGISTRIES)
async def test_n19_04_content_comes_from_the_mirror_and_what_a_tag_means_from_the_registry(
    china: Rig, mirror: PublicMirror, cdn: FakeRegistry, upstream: FakeRegistry, registry: str
) -> None:
    """A tag of the mirror is an hour old."""
    mirror.add_image(f"{registry}/{NAME}", "1", [b"old"])
    current = mirror.add_image(f"{registry}/{NAME}", None, LAYERS)
    upstream.add_image(f"of/{registry}/{NAME}", "1", LAYERS)
    mirror.allowed = {f"{registry}/{NAME}"}
    upstream.misbehave(on("GET", "/blobs/"), Status(503))  # its long line
    answer = await china.ask(f"/v2/{NAME}/manifests/1?ns={registry}")
    assert answer.headers["Docker-Content-Digest"] == str(current.digest)
    assert await _pull(china, registry) == [200] * 6
    assert len([entry for entry in cdn.ledger if entry.path.startswith("/cdn/")]) == 5
    assert not any("authorization" in entry.headers for entry in cdn.ledger)


@pytest.mark.parametrize("stage", ["token", "manifests", "blobs"])
async def test_n19_04_an_image_that_is_not_on_the_allow_list_comes_from_the_registry(
    china: Rig, mirror: PublicMirror, upstream: FakeRegistry, stage: Stage
) -> None:
    mirror.stage = stage
    upstream.add_image(f"of/ghcr.io/{NAME}", "1", LAYERS)
    mirror.add_image(f"ghcr.io/{NAME}", "1", LAYERS)
    assert await _pull(china, "ghcr.io") == [200] * 6
    assert await _pull(china, "ghcr.io") == [200] * 6
    refused = [entry for entry in mirror.ledger if entry.status == 403]
    assert len(refused) <= 2, "what it refused is not asked for again and again"


async def test_n19_04_content_that_was_dropped_comes_from_the_registry(china: Rig, mirror: PublicMirror, upstream: FakeRegistry) -> None:
    mirror.allowed = {f"quay.io/{NAME}"}
    mirror.add_image(f"quay.io/{NAME}", "1", LAYERS)
    upstream.add_image(f"of/quay.io/{NAME}", "1", LAYERS)
    mirror.drop(f"quay.io/{NAME}")
    assert await _pull(china, "quay.io") == [200] * 6
    assert _asked(mirror, "blobs") + _asked(mirror, "manifests") <= 3
    assert upstream.count("GET", "blobs") >= 5


async def test_n19_04_a_mirror_that_throttles_us_is_left_alone(china: Rig, mirror: PublicMirror, upstream: FakeRegistry) -> None:
    mirror.allowed = {f"docker.io/{NAME}"}
    mirror.add_image(f"docker.io/{NAME}", "1", LAYERS)
    upstream.add_image(f"of/docker.io/{NAME}", "1", LAYERS)
    mirror.left = 2
    assert await _pull(china, "docker.io") == [200] * 6
    assert len([entry for entry in mirror.ledger if entry.status == 429]) <= 2
    assert upstream.count("GET", "blobs") >= 3


async def test_n19_04_kubeadms_images_come_from_aliyun_by_the_last_part_of_their_names(
    china: Rig, aliyun: FakeRegistry, upstream: FakeRegistry
) -> None:
    upstream.misbehave(on("GET", "/blobs/"), Status(503))
    for name in ("pause", "coredns/coredns"):
        aliyun.add_image(f"google_containers/{name.rpartition('/')[2]}", None, [name.encode()])
        upstream.add_image(f"of/registry.k8s.io/{name}", "1", [name.encode()])
        assert await _pull(china, "registry.k8s.io", name) == [200] * 3
    assert {entry.repository for entry in aliyun.ledger if entry.repository} == {"google_containers/pause", "google_containers/coredns"}


async def test_n19_04_lists_are_asked_of_the_registry_alone(china: Rig, mirror: PublicMirror, upstream: FakeRegistry) -> None:
    upstream.add_image(f"of/gcr.io/{NAME}", "1", LAYERS)
    answer = await china.ask(f"/v2/{NAME}/tags/list?ns=gcr.io")
    assert json.loads(answer.body)["tags"] == ["1"]
    assert not mirror.ledger
