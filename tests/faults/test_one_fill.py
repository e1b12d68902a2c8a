"""One download for all workers of a machine, whoever of them fetches it, and whoever dies: rows U01, P03."""

import asyncio
import os
import signal
from pathlib import Path

from regproxy.oci.digest import Digest
from tests.fakes.deeds import Paced, Stall
from tests.fakes.entry import on
from tests.fakes.program import Program
from tests.fakes.registry import FakeRegistry
from tests.rig import get, raw

NAME = "library/app"
MIB = 1024 * 1024


def _holder(digest: Digest) -> int | None:
    """Tell which process has the lock of *digest*; nobody is told the name of the program's directory."""
    (lock,) = Path("/dev/shm").glob(f"regproxy-*/locks/{digest}@*")
    inode = lock.stat().st_ino
    for line in Path("/proc/locks").read_text().splitlines():
        words = line.split()
        if words[1:4] == ["FLOCK", "ADVISORY", "WRITE"] and words[5].endswith(f":{inode}"):
            return int(words[4])
    return None


async def test_u01_a_herd_over_four_workers_is_one_download(tmp_path: Path) -> None:
    """While upstream has sent only a part, clients of every worker have had a byte of it."""
    blob = os.urandom(4 * MIB)
    async with FakeRegistry() as upstream:
        digest = upstream.add_blob(NAME, blob)
        stall = Stall(MIB)
        upstream.misbehave(on("GET", "/blobs/"), stall)
        timeouts = {"silence": "60s", "progress": "60s"}
        program = Program(tmp_path, {"docker.io": {"hosts": [{"url": upstream.url}]}}, workers=4, timeouts=timeouts)
        path = f"/v2/{NAME}/blobs/{digest}"
        async with program.running():
            reading = [asyncio.create_task(program.ask(path)) for _ in range(80)]
            first_bytes = await asyncio.gather(*(raw(program.port, get(path), read=64 * 1024) for _ in range(40)))
            assert all(blob.startswith(answer.body) and answer.body for answer in first_bytes)
            stall.event.set()
            assert [answer == (200, blob) for answer in await asyncio.gather(*reading)] == [True] * 80
        assert upstream.count("GET", "blobs") == 1
        assert upstream.sent_blob_bytes() == len(blob)


async def test_p03_who_reads_along_goes_on_where_the_fetching_worker_died(tmp_path: Path) -> None:
    blob = os.urandom(16 * MIB)
    async with FakeRegistry() as upstream:
        digest = upstream.add_blob(NAME, blob)
        upstream.misbehave(on("GET", "/blobs/"), Paced(4 * MIB))
        program = Program(tmp_path, {"docker.io": {"hosts": [{"url": upstream.url}]}})
        path = f"/v2/{NAME}/blobs/{digest}"
        async with program.running():
            reading = [asyncio.create_task(raw(program.port, get(path))) for _ in range(40)]
            await program.until(lambda: upstream.sent_blob_bytes() > 6 * MIB)
            victim = _holder(digest)
            assert victim in program.workers()
            before = upstream.count("GET", "blobs")
            os.kill(victim, signal.SIGKILL)
            answers = await asyncio.gather(*reading)
            whole = [answer for answer in answers if answer.body == blob]
            assert 0 < len(whole) < len(answers), "its own clients are cut off, and only those"
            assert all(blob.startswith(answer.body) for answer in answers)
            assert (await program.ask(path))[1] == blob
        starts = [int(entry.headers["range"].removeprefix("bytes=").partition("-")[0]) for entry in upstream.ledger]
        assert starts[before:], "somebody went on"
        assert min(starts[before:]) > MIB // 2, "with what was on the disk"
