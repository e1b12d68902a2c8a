"""What every adapter of the ports Registry and Watched promises."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from regproxy.behind.holders import Holders
from regproxy.behind.index import BackedIndex
from regproxy.behind.registry import BackedRegistry
from regproxy.config import Timeouts
from regproxy.fleet.memory import NullFleet
from regproxy.index.sqlite import SqliteIndex
from regproxy.oci.descriptor import Descriptor
from regproxy.oci.digest import Digest
from regproxy.oci.reference import Reference, Repository, Tag
from regproxy.policy.routing import Host, Routes, Upstream
from regproxy.ports import NotFound, Registry, Unavailable, Watched
from regproxy.pull.access import RepositoryAccess
from regproxy.pull.freezes import Freezes
from regproxy.pull.recording import RecordingRegistry
from regproxy.server.status import Reported, WorkerStatus
from regproxy.upstream.registry import UpstreamRegistry
from tests.behind_kit import NoStore, put_blob, tier
from tests.fakes.deeds import Status
from tests.fakes.registry import FakeRegistry

NAME = "library/app"
APP = Repository("docker.io", NAME)
BY_TAG = Reference(APP, Tag("1"))
LAYER = b"layer" * 1000
BLOB = Digest.of(LAYER)


@pytest.fixture
def manifest(upstream: FakeRegistry) -> Descriptor:
    return upstream.add_image(NAME, "1", [LAYER])


@pytest.fixture
async def asked(upstream: FakeRegistry) -> AsyncIterator[UpstreamRegistry]:
    found = UpstreamRegistry(Upstream("docker.io", (Host(upstream.url),)), Timeouts(), NullFleet())
    yield found
    await found.close()


@pytest.fixture(params=["hosts", "recorded", "before an empty object store", "before an object store"])
async def registry(
    request: pytest.FixtureRequest, upstream: FakeRegistry, asked: UpstreamRegistry, tmp_path: Path
) -> AsyncIterator[Registry]:
    if request.param == "hosts":
        yield asked
        return
    if "object store" in request.param:
        behind = tier()
        if "empty" not in request.param:
            await put_blob(behind, APP, LAYER)
        index = await SqliteIndex.open(tmp_path / "index.db")
        holders = Holders(behind, index)
        yield BackedRegistry(asked, holders, BackedIndex(index, holders, NoStore()))
        await behind.close()
        await index.close()
        return
    entry = Upstream("docker.io", (Host(upstream.url),))
    async with AsyncExitStack() as stack:
        index = await SqliteIndex.open(tmp_path / "index.db")
        stack.push_async_callback(index.close)
        freezes = Freezes([], index, Routes([entry], "docker.io"))
        access = RepositoryAccess({"docker.io": asked}, index, freezes, NullFleet(), time.time, 3600)
        stack.push_async_callback(access.close, 5)
        yield RecordingRegistry(asked, entry, access, time.time)


WATCHED: dict[str, Callable[[UpstreamRegistry], Watched]] = {
    "hosts": lambda asked: asked,
    "before a worker has reported": lambda asked: Reported("docker.io", {"docker.io": asked}, list),
    "as workers report": lambda asked: Reported(
        "docker.io", {"docker.io": asked}, lambda: [WorkerStatus.of({"docker.io": asked}, None, is_accepting=True)]
    ),
}


async def test_what_a_tag_means_is_resolved_and_fetched(registry: Registry, manifest: Descriptor) -> None:
    assert await registry.resolve(BY_TAG) == manifest.digest
    assert (await registry.manifest(BY_TAG)).descriptor == manifest
    assert (await registry.manifest(Reference(APP, manifest.digest))).descriptor == manifest


async def test_a_blob_is_described_and_opened_from_any_byte(registry: Registry, manifest: Descriptor) -> None:
    assert await registry.describe(APP, BLOB) == len(LAYER)
    for start in (0, 7):
        async with registry.blob(APP, BLOB, start) as body:
            assert (body.start, body.size) == (start, len(LAYER))
            assert b"".join([chunk async for chunk in body.chunks()]) == LAYER[start:]
    await registry.confirm(APP, BLOB)
    await registry.confirm_manifest(Reference(APP, manifest.digest))


async def test_lists_are_given_or_none(registry: Registry, upstream: FakeRegistry, manifest: Descriptor) -> None:
    page = await registry.tags(APP, "n=5")
    assert page is not None
    assert (page.tags, page.next_query) == (("1",), None)
    assert await registry.referrers(APP, manifest.digest) == []
    upstream.has_referrers = False
    assert await registry.referrers(APP, manifest.digest) is None


async def test_what_is_not_there_and_who_does_not_answer_are_told_apart(registry: Registry, upstream: FakeRegistry) -> None:
    with pytest.raises(NotFound):
        await registry.manifest(BY_TAG)
    with pytest.raises(NotFound):
        await registry.confirm(APP, BLOB)
    assert not registry.is_backing_off
    upstream.misbehave("/", Status(500))
    for _ in range(3):
        with pytest.raises(Unavailable):
            await registry.manifest(BY_TAG)
    assert registry.is_backing_off


@pytest.mark.parametrize("seen", WATCHED)
async def test_how_an_upstream_is_doing_is_the_same_whoever_tells(
    seen: str, asked: UpstreamRegistry, upstream: FakeRegistry, manifest: Descriptor
) -> None:
    watched = WATCHED[seen](asked)
    await asked.manifest(BY_TAG)
    (host,) = watched.hosts()
    assert (host.url, host.rank, host.last_error) == (upstream.url, 1, "")
    assert not watched.is_scarce
    assert not watched.is_backing_off
    (finding,) = await watched.examine(BY_TAG)
    assert (finding.digest, finding.failure) == (manifest.digest, None)
