"""Who waits for whom, as requests of one kind take no connection of another; and who else may be asked."""

import asyncio
from pathlib import Path

import yaml

from regproxy.config import load
from regproxy.fleet.memory import NullFleet
from regproxy.oci.digest import Digest
from regproxy.oci.reference import Reference, Repository, Tag
from regproxy.upstream.registry import UpstreamRegistry
from tests.fakes.deeds import Hold
from tests.fakes.registry import FakeRegistry
from tests.rig import PATIENT

APP = Repository("docker.io", "library/app")
LISTS = 100  # more than there are connections for manifests


async def test_n13_17_slow_lists_take_no_turn_of_a_manifest(upstream: FakeRegistry, tmp_path: Path) -> None:
    image = upstream.add_image(APP.name, "1", [b"layer"])
    upstream.misbehave("/tags/", held := Hold())
    path = tmp_path / "regproxy.yaml"
    path.write_text(yaml.safe_dump({"timeouts": PATIENT, "upstreams": {"docker.io": {"hosts": [{"url": upstream.url}]}}}))
    settings = load(path, {})
    registry = UpstreamRegistry(settings.upstreams[0], settings.timeouts, NullFleet())
    lists = [asyncio.create_task(registry.tags(APP, f"n={number}")) for number in range(1, LISTS)]
    try:
        await held.reached.wait()  # the others have a connection, or wait for one
        async with asyncio.timeout(20):
            assert (await registry.manifest(Reference(APP, Tag("1")))).descriptor.digest == image.digest
        held.event.set()
        await asyncio.gather(*lists)
    finally:
        for each in lists:
            each.cancel()
        await asyncio.gather(*lists, return_exceptions=True)
        await registry.close()


async def test_who_refused_a_repository_or_rests_is_no_other_host_for_its_blobs(upstream: FakeRegistry, tmp_path: Path) -> None:
    """Where nobody else can send a piece, it is not asked for anew as soon as somebody might."""
    digest, path = upstream.add_blob(APP.name, b"layer"), tmp_path / "regproxy.yaml"
    async with FakeRegistry() as mirror:
        other = Repository("docker.io", "library/other")
        for each in (mirror, upstream):
            each.add_blob(other.name, b"layer")
        hosts = [{"url": mirror.url, "trust": ["pull"]}, {"url": upstream.url}]
        path.write_text(yaml.safe_dump({"timeouts": PATIENT, "upstreams": {"docker.io": {"hosts": hosts}}}))
        settings = load(path, {})
        registry = UpstreamRegistry(settings.upstreams[0], settings.timeouts, NullFleet())
        try:
            assert registry.has_others(APP)
            await _read(registry, APP, digest)
            assert (registry.has_others(APP), registry.has_others(other)) == (False, True)
            await mirror.stop()
            await _read(registry, other, digest)
            assert not registry.has_others(other)
        finally:
            await registry.close()


async def _read(registry: UpstreamRegistry, repository: Repository, digest: Digest) -> None:
    async with registry.blob(repository, digest) as body:
        assert b"".join([chunk async for chunk in body.chunks()]) == b"layer"
