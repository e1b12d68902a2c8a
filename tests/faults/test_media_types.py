"""The body decides what a manifest is; whoever sends it, and whatever was recorded, does not."""

import sqlite3
from pathlib import Path

import pytest

from tests.fakes.deeds import Headers
from tests.fakes.library import OCI_INDEX, OCI_MANIFEST
from tests.fakes.registry import FakeRegistry
from tests.rig import rig

NAME = "library/app"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
IMAGE = b'{"schemaVersion": 2, "config": {}, "layers": []}'
EVIL = "application/vnd.example.evil+json"

SENT = [EVIL, DOCKER_MANIFEST, OCI_INDEX, "text/html", "text/json", "binary/octet-stream", "application/json", "nonsense", ""]


def _path(target: object, upstream: str = "docker.io") -> str:
    return f"/v2/{NAME}/manifests/{target}?ns={upstream}"


@pytest.mark.parametrize("sent", SENT)
async def test_n12_03_a_content_type_decides_nothing(upstream: FakeRegistry, tmp_path: Path, sent: str) -> None:
    upstream.add_manifest(NAME, IMAGE, OCI_MANIFEST, tag="1")
    upstream.misbehave("/manifests/", Headers({"Content-Type": sent}))
    async with rig(tmp_path / "store", {"docker.io": upstream.url}) as proxy:
        for method in ("GET", "HEAD", "GET"):
            answer = await proxy.ask(_path("1"), method)
            assert (answer.status, answer.headers["Content-Type"]) == (200, OCI_MANIFEST)


async def test_n12_03_a_mirror_trusted_to_pull_names_no_type(upstream: FakeRegistry, tmp_path: Path) -> None:
    async with FakeRegistry() as mirror:
        for registry in (mirror, upstream):
            digest = registry.add_manifest(NAME, IMAGE, OCI_MANIFEST, tag="1")
        mirror.misbehave("/manifests/", Headers({"Content-Type": EVIL}))
        hosts = [{"url": mirror.url, "trust": ["pull"]}, {"url": upstream.url}]
        async with rig(tmp_path / "store", {"docker.io": {"hosts": hosts}}) as proxy:
            for target in (digest, "1"):
                assert (await proxy.ask(_path(target))).headers["Content-Type"] == OCI_MANIFEST
        assert mirror.count("GET", "manifests") == 1, "it was asked first"


async def test_n12_03_another_upstream_names_no_type(upstream: FakeRegistry, tmp_path: Path) -> None:
    async with FakeRegistry() as other:
        for registry in (other, upstream):
            digest = registry.add_manifest(NAME, IMAGE, OCI_MANIFEST, tag="1")
        other.misbehave("/manifests/", Headers({"Content-Type": EVIL}))
        async with rig(tmp_path / "store", {"docker.io": upstream.url, "other.test": other.url}) as proxy:
            for target, name in ((digest, "other.test"), (digest, "docker.io"), ("1", "docker.io")):
                assert (await proxy.ask(_path(target, name))).headers["Content-Type"] == OCI_MANIFEST


async def test_n12_03_what_an_earlier_version_recorded_names_no_type(upstream: FakeRegistry, tmp_path: Path) -> None:
    digest = upstream.add_manifest(NAME, IMAGE, OCI_MANIFEST, tag="1")
    upstream.add_manifest("library/other", IMAGE, OCI_MANIFEST)
    async with rig(tmp_path / "store", {"docker.io": upstream.url}) as proxy:
        await proxy.ask(_path("1"))
    with sqlite3.connect(tmp_path / "store" / "index.db") as index:
        for statement in ("UPDATE content SET media_type = ?", "UPDATE tags SET media_type = ?"):
            assert index.execute(statement, (EVIL,)).rowcount
    async with rig(tmp_path / "store", {"docker.io": upstream.url}) as proxy:
        for path in (_path("1"), _path(digest), _path(digest).replace(NAME, "library/other")):
            assert (await proxy.ask(path)).headers["Content-Type"] == OCI_MANIFEST
