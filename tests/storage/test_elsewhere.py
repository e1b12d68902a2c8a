"""What one process tells another of a copy."""

from pathlib import Path

import pytest

from regproxy.oci.digest import Digest
from regproxy.oci.reference import Repository
from regproxy.policy.room import Limits
from regproxy.ports import (
    Corrupt,
    InvalidContent,
    NotFound,
    Overwhelmed,
    Refused,
    Rejected,
    Stage,
    Throttled,
    Unavailable,
    UnexpectedResponse,
    UpstreamError,
)
from regproxy.storage.disk import DiskStore

DIGEST = Digest.of(b"a layer")
REPOSITORY = Repository("docker.io", "library/app")

FAILURES = [
    NotFound("why"),
    Refused("why"),
    Refused("why", whatever_asked=True),
    Rejected("why", 451, "DENIED"),
    InvalidContent("why"),
    Throttled("why"),
    Throttled("why", 17.5),
    Unavailable("why"),
    Unavailable("why", timed_out=True),
    Overwhelmed("why"),
    Overwhelmed("why", timed_out=True),
    UnexpectedResponse("why"),
    Corrupt("why"),
]


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: f"{type(failure).__name__} {vars(failure)}")
async def test_n13_13_a_failure_means_the_same_to_another_process(tmp_path: Path, failure: UpstreamError) -> None:
    """Whether our credential is wrong for all, or how long a pause is to be, above all."""
    one, other = (DiskStore(tmp_path, Limits()) for _ in range(2))
    await one.prepare()
    await other.join()
    assert await one.lease(DIGEST, REPOSITORY) is None
    copy = await other.lease(DIGEST, REPOSITORY)
    assert copy is not None
    await one.release(DIGEST, failure)
    progress = await copy.news()
    copy.close()
    for store in (one, other):
        store.close()
    assert progress is not None
    told = progress.error
    assert told is not None
    assert (progress.stage, type(told), str(told), vars(told)) == (Stage.FAILED, type(failure), str(failure), vars(failure))
