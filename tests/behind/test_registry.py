"""An object store is asked once more where upstream gives no answer, and never instead of one."""

from collections.abc import AsyncIterator

import pytest

from regproxy.behind.index import BackedIndex
from regproxy.behind.registry import BackedRegistry
from regproxy.config import Timeouts
from regproxy.fleet.memory import NullFleet
from regproxy.oci.reference import Reference
from regproxy.policy.routing import Host, Upstream
from regproxy.ports import NotFound, Refused, Unavailable, UpstreamError
from regproxy.upstream.registry import UpstreamRegistry
from tests.behind.filled import BLOB, BODY, FOUND, TAG, Filled
from tests.behind.replicas import APP
from tests.behind_kit import NoStore
from tests.fakes.deeds import Status
from tests.fakes.registry import FakeRegistry

BY_DIGEST = Reference(APP, FOUND.digest)


@pytest.fixture
async def backed(subject: Filled, upstream: FakeRegistry) -> AsyncIterator[BackedRegistry]:
    registry = UpstreamRegistry(Upstream("docker.io", (Host(upstream.url),)), Timeouts(), NullFleet())
    yield BackedRegistry(registry, subject.holders, BackedIndex(subject.index, subject.holders, NoKeeping()))
    await registry.close()


class NoKeeping(NoStore):
    """Keeps nothing."""

    async def write(self, *_: object) -> bool:
        return False


async def test_n17_04_what_gives_no_answer_is_stood_in_for(backed: BackedRegistry, subject: Filled, upstream: FakeRegistry) -> None:
    upstream.misbehave("/v2/", Status(503))
    assert (await backed.manifest(BY_DIGEST)).descriptor == FOUND
    assert await backed.describe(APP, BLOB) == len(BODY)
    async with backed.blob(APP, BLOB) as body:
        assert b"".join([chunk async for chunk in body.chunks()]) == BODY
    with pytest.raises(Unavailable):
        await backed.manifest(TAG)
    assert await subject.index.tag(TAG) is not None, "whoever asked may serve it as stale"


async def test_n17_04_what_proves_something_is_asked_of_upstream_alone(backed: BackedRegistry, upstream: FakeRegistry) -> None:
    upstream.misbehave("/v2/", Status(503))
    for question in (backed.resolve(BY_DIGEST), backed.resolve(TAG), backed.confirm_manifest(BY_DIGEST), backed.confirm(APP, BLOB)):
        with pytest.raises(Unavailable):
            await question


@pytest.mark.parametrize(("status", "error"), [(404, NotFound), (403, Refused)])
async def test_n17_04_an_answer_of_upstream_is_one(
    backed: BackedRegistry, subject: Filled, upstream: FakeRegistry, status: int, error: type[UpstreamError]
) -> None:
    upstream.misbehave("/v2/", Status(status))
    for reference in (TAG, BY_DIGEST):
        with pytest.raises(error):
            await backed.manifest(reference)
    assert await subject.index.tag(TAG) is None
