"""Whose word about a repository is recorded, whatever was asked."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from regproxy.config import Timeouts
from regproxy.fleet.memory import NullFleet
from regproxy.index.sqlite import SqliteIndex
from regproxy.oci.digest import Digest
from regproxy.oci.reference import Reference, Repository, Tag
from regproxy.policy.routing import Host, Routes, Trust, Upstream
from regproxy.ports import Refused
from regproxy.pull.access import RepositoryAccess
from regproxy.pull.freezes import Freezes
from regproxy.pull.recording import RecordingRegistry
from regproxy.upstream.registry import UpstreamRegistry
from tests.fakes.deeds import Status
from tests.fakes.registry import FakeRegistry

NAME = "library/app"
APP = Repository("docker.io", NAME)
BY_TAG = Reference(APP, Tag("1"))
LAYER = b"layer"


@dataclass
class Subject:
    """A registry whose answers are recorded, and the record."""

    registry: RecordingRegistry
    index: SqliteIndex
    access: RepositoryAccess

    async def is_confirmed(self) -> bool:
        await self.access.close(5)
        return (await self.index.access(APP)).confirmed_at > 0


@asynccontextmanager
async def recorded(root: Path, hosts: tuple[Host, ...]) -> AsyncIterator[Subject]:
    entry = Upstream("docker.io", hosts)
    index = await SqliteIndex.open(root / "index.db")
    asked = UpstreamRegistry(entry, Timeouts(), NullFleet())
    freezes = Freezes([], index, Routes([entry], "docker.io"))
    access = RepositoryAccess({"docker.io": asked}, index, freezes, NullFleet(), time.time, 3600)
    yield Subject(RecordingRegistry(asked, entry, access, time.time), index, access)
    await access.close(5)
    await asked.close()
    await index.close()


@pytest.fixture
def manifest(upstream: FakeRegistry) -> Digest:
    return upstream.add_image(NAME, "1", [LAYER]).digest


async def _blob(registry: RecordingRegistry) -> None:
    async with registry.blob(APP, Digest.of(LAYER)):
        pass


ASKED: dict[str, Callable[[RecordingRegistry, Digest], Awaitable[object]]] = {
    "a tag by HEAD": lambda registry, _: registry.resolve(BY_TAG),
    "a tag": lambda registry, _: registry.manifest(BY_TAG),
    "a manifest": lambda registry, digest: registry.manifest(Reference(APP, digest)),
    "the size of a blob": lambda registry, _: registry.describe(APP, Digest.of(LAYER)),
    "a blob": lambda registry, _: _blob(registry),
    "whether a blob may be had": lambda registry, _: registry.confirm(APP, Digest.of(LAYER)),
    "whether a manifest may be had": lambda registry, digest: registry.confirm_manifest(Reference(APP, digest)),
    "a list of tags": lambda registry, _: registry.tags(APP, ""),
    "referrers": lambda registry, digest: registry.referrers(APP, digest),
}
OF_ANYBODY = {"a manifest", "the size of a blob", "a blob"}  # hosts that are trusted to pull alone are asked for these


@pytest.mark.parametrize("what", ASKED)
async def test_an_answer_of_a_host_that_is_trusted_says_that_a_repository_may_be_read(
    upstream: FakeRegistry, tmp_path: Path, manifest: Digest, what: str
) -> None:
    async with recorded(tmp_path, (Host(upstream.url),)) as subject:
        await ASKED[what](subject.registry, manifest)
        assert await subject.is_confirmed()


@pytest.mark.parametrize("what", ASKED)
async def test_where_anybody_may_have_answered_it_says_nothing(upstream: FakeRegistry, tmp_path: Path, manifest: Digest, what: str) -> None:
    async with recorded(tmp_path, (Host(upstream.url), Host(upstream.url, frozenset({Trust.PULL})))) as subject:
        await ASKED[what](subject.registry, manifest)
        assert await subject.is_confirmed() == (what not in OF_ANYBODY)


async def test_an_empty_answer_says_nothing(upstream: FakeRegistry, tmp_path: Path, manifest: Digest) -> None:
    upstream.has_referrers = False
    async with recorded(tmp_path, (Host(upstream.url),)) as subject:
        assert await subject.registry.referrers(APP, manifest) is None
        assert not await subject.is_confirmed()


async def test_a_refusal_is_raised_and_closes_what_was_open(upstream: FakeRegistry, tmp_path: Path, manifest: Digest) -> None:
    async with recorded(tmp_path, (Host(upstream.url),)) as subject:
        await subject.registry.manifest(BY_TAG)
        upstream.misbehave("/", Status(403))
        with pytest.raises(Refused):
            await subject.registry.manifest(Reference(APP, manifest))
        assert (await subject.index.access(APP)).is_closed


async def test_a_list_that_is_refused_closes_nothing(upstream: FakeRegistry, tmp_path: Path, manifest: Digest) -> None:
    """A pull needs none."""
    async with recorded(tmp_path, (Host(upstream.url),)) as subject:
        await subject.registry.manifest(Reference(APP, manifest))
        upstream.misbehave("/", Status(403))
        with pytest.raises(Refused):
            await subject.registry.tags(APP, "")
        assert not (await subject.index.access(APP)).is_closed
