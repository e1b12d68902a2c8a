"""Long work on a store, and how far it is."""

import gzip
import io
import json
import tarfile
from pathlib import Path

import pytest

from regproxy.maintenance.archive import Unreadable
from regproxy.maintenance.evictor import Evictor
from regproxy.maintenance.jobs import MaintenanceJobs
from regproxy.maintenance.progress import JobProgress
from regproxy.policy.routing import Host, Routes, Upstream
from regproxy.policy.store.quota import Limits
from regproxy.ports import Full
from regproxy.pull.usage import Usage
from tests.fakes.tars import write_tar
from tests.maintenance.kept import LAYER, Kept

ROUTES = Routes([Upstream("docker.io", (Host("https://registry-1.docker.io"),))], "docker.io")
OTHER = b"other " * 1000


@pytest.fixture
def jobs(kept: Kept) -> MaintenanceJobs:
    evictor = Evictor(kept.store, kept.ledger, Usage(kept.ledger, lambda: 1e10), lambda: 1e10)
    return MaintenanceJobs(kept.store, kept.index, kept.ledger, evictor, lambda: 1e10, ROUTES)


def _steps() -> tuple[JobProgress, list[int]]:
    done: list[int] = []
    return JobProgress(lambda progress: done.append(progress.done)), done


async def test_everything_is_read_again_and_progress_comes_to_its_total(kept: Kept, jobs: MaintenanceJobs) -> None:
    await kept.put(OTHER)
    kept.damage(await kept.put(LAYER))
    progress, done = _steps()
    assert await jobs.verify(progress) == {"adopted": 0, "lost": 1, "damaged": 1}
    assert (progress.total, progress.done) == (len(LAYER) + len(OTHER), len(LAYER) + len(OTHER))
    assert done == sorted(done)


async def test_a_lost_record_is_rebuilt_from_the_file(kept: Kept, jobs: MaintenanceJobs) -> None:
    digest = await kept.put(LAYER)
    await kept.ledger.lose([digest])
    kept.store.opened_at = float("inf")  # as in a process that starts later
    assert await jobs.rebuild(JobProgress()) == {"adopted": 1, "lost": 0, "damaged": 0}


async def test_what_would_be_removed_is_told_before_it_is_done(kept: Kept, jobs: MaintenanceJobs) -> None:
    digest = await kept.put(LAYER)
    progress, done = _steps()
    planned = await jobs.collect(progress, 60.0, dry_run=True)
    assert (planned["bytes"], done) == (len(LAYER), [])
    assert await kept.store.read(digest, len(LAYER)) == LAYER
    removed = await jobs.collect(progress, 60.0)
    assert (removed["removed"], done) == (planned["removed"], [len(LAYER)])
    assert await kept.store.read(digest, len(LAYER)) is None


async def test_a_tar_is_unpacked_into_room_that_the_store_has(kept: Kept, jobs: MaintenanceJobs, tmp_path: Path) -> None:
    image: dict[str, object] = {"Config": "abc.json", "RepoTags": ["app:1"], "Layers": []}
    write_tar(tmp_path / "saved.tar", {"abc.json": b"{}", "manifest.json": json.dumps([image]).encode()})
    packed = io.BytesIO(gzip.compress((tmp_path / "saved.tar").read_bytes()))
    assert await jobs.bring_in(packed, None, JobProgress()) == {"images": ["docker.io/library/app:1"]}
    kept.store.limit(Limits(max_size=256 * 1024))
    with pytest.raises(Full, match="unpacked it is larger than what the store has room for"):
        await jobs.bring_in(io.BytesIO(gzip.compress(bytes(4 * 1024 * 1024))), None, JobProgress())
    assert kept.store.quota.promised == 0


async def test_what_is_no_tar_is_refused(jobs: MaintenanceJobs) -> None:
    with pytest.raises(Unreadable):
        await jobs.bring_in(io.BytesIO(b"no tar" * tarfile.BLOCKSIZE), None, JobProgress())
