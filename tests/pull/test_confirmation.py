"""A manifest that another repository brought is served here only on upstream's word about this very digest."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml

from regproxy.config import load
from regproxy.fleet.memory import NullFleet
from regproxy.oci.digest import Digest
from regproxy.oci.reference import Reference, Repository, Tag
from regproxy.pull.confirmation import is_named_by
from regproxy.upstream.registry import UpstreamRegistry
from tests.fakes.deeds import Status
from tests.fakes.entry import on
from tests.fakes.registry import FakeRegistry

NAME = "library/app"
TAG = Reference(Repository("docker.io", NAME), Tag("1"))


@pytest.fixture
async def registry(upstream: FakeRegistry, tmp_path: Path) -> AsyncIterator[UpstreamRegistry]:
    path = tmp_path / "c.yaml"
    path.write_text(yaml.safe_dump({"upstreams": {"docker.io": {"hosts": [{"url": upstream.url}]}}}))
    settings = load(path, {})
    found = UpstreamRegistry(settings.upstreams[0], settings.timeouts, NullFleet())
    yield found
    await found.close()


async def test_n12_04_only_this_very_digest_counts(upstream: FakeRegistry, registry: UpstreamRegistry) -> None:
    digest = upstream.add_image(NAME, "1", [b"layer"]).digest
    assert await is_named_by(registry, TAG, digest)
    assert not await is_named_by(registry, TAG, Digest.of(b"another"))


@pytest.mark.parametrize("status", [401, 404, 429, 500])
async def test_n12_04_a_failure_proves_nothing(upstream: FakeRegistry, registry: UpstreamRegistry, status: int) -> None:
    digest = upstream.add_image(NAME, "1", [b"layer"]).digest
    upstream.misbehave(on("HEAD", "/manifests/"), Status(status))
    assert not await is_named_by(registry, TAG, digest)
