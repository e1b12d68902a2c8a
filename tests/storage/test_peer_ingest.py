"""What one process tells another of a copy."""

import asyncio
import fcntl
from pathlib import Path

import pytest

from regproxy.oci.digest import Digest
from regproxy.oci.reference import Repository
from regproxy.policy.store.quota import Limits
from regproxy.ports import (
    Corrupt,
    IngestStage,
    InvalidContent,
    LocalResourceError,
    NotFound,
    Refused,
    Rejected,
    Throttled,
    Unavailable,
    UnexpectedResponse,
    UpstreamError,
)
from regproxy.storage import ingest_lock
from regproxy.storage.disk import DiskStore
from regproxy.storage.ingest_lock import LockName

DIGEST = Digest.of(b"a layer")
REPOSITORY = Repository("docker.io", "library/app")

FAILURES = [
    NotFound("why"),
    NotFound("why", is_repository=True),
    Refused("why"),
    Refused("why", whatever_asked=True),
    Rejected("why", 451, "DENIED"),
    InvalidContent("why"),
    Throttled("why"),
    Throttled("why", 17.5),
    Unavailable("why"),
    Unavailable("why", timed_out=True),
    Unavailable("why", answered=True),
    LocalResourceError("why"),
    LocalResourceError("why", timed_out=True),
    UnexpectedResponse("why"),
    Corrupt("why"),
]


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: f"{type(failure).__name__} {vars(failure)}")
async def test_n13_13_a_failure_means_the_same_to_another_process(tmp_path: Path, failure: UpstreamError) -> None:
    """Whether our credential is wrong for all, or how long a pause is to be, above all."""
    one, other = (DiskStore(tmp_path, Limits()) for _ in range(2))
    await one.prepare()
    await other.join()
    assert await one.acquire(DIGEST, REPOSITORY) is None
    copy = await other.acquire(DIGEST, REPOSITORY)
    assert copy is not None
    await one.release(DIGEST, REPOSITORY.registry, failure)
    progress = await copy.status()
    copy.close()
    for store in (one, other):
        store.close()
    assert progress is not None
    told = progress.error
    assert told is not None
    assert (progress.stage, type(told), str(told), vars(told)) == (IngestStage.FAILED, type(failure), str(failure), vars(failure))


async def test_n12_02_a_holder_is_not_taken_for_a_stranger_before_it_says_who_it_is(tmp_path: Path) -> None:
    """It locks its file and writes the first line: whoever looks in between would fetch the same blob a second time."""
    store = DiskStore(tmp_path, Limits())
    await store.prepare()
    with (ingest_lock.place(tmp_path) / str(LockName(DIGEST, REPOSITORY.registry))).open("ab", buffering=0) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        copy = await store.acquire(DIGEST, REPOSITORY)
        assert copy is not None
        status = asyncio.create_task(copy.status())
        await asyncio.sleep(0)  # it has looked
        assert not status.done()
        file.write(b'{"repository": "%s"}\n' % str(REPOSITORY).encode())
        progress = await status
    assert progress is not None
    assert (progress.stage, progress.repository) == (IngestStage.ASKING, str(REPOSITORY))
    copy.close()
    store.close()


async def test_n12_02_a_holder_that_dies_before_it_says_who_it_is_is_over(tmp_path: Path) -> None:
    store = DiskStore(tmp_path, Limits())
    await store.prepare()
    with (ingest_lock.place(tmp_path) / str(LockName(DIGEST, REPOSITORY.registry))).open("ab", buffering=0) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        copy = await store.acquire(DIGEST, REPOSITORY)
    assert copy is not None
    assert await copy.status() is None
    copy.close()
    assert await store.acquire(DIGEST, REPOSITORY) is None
    store.close()
