"""Processes of one machine count their usage together."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from regproxy.policy.store.quota import FileSystem, Limits
from regproxy.ports import Full
from regproxy.storage.quota import Quota
from regproxy.storage.shared_usage import SharedUsage, alone, joined, reset

MIB = 1024 * 1024


async def _plenty() -> FileSystem:
    return FileSystem(1000 * MIB, 1000 * MIB)


def _quota(root: Path, limit: int) -> Quota:
    quota = Quota(Limits(max_size=limit), _plenty)
    quota.usage = joined(root)
    return quota


@pytest.fixture
def root(tmp_path: Path) -> Path:
    reset(tmp_path)
    return tmp_path


def test_everyone_sees_the_sum(root: Path) -> None:
    one, other = joined(root), joined(root)
    one.hold(5)
    other.write(3)
    other.promise(2)
    assert [(usage.held, usage.promised) for usage in (one, other)] == [(8, 2), (8, 2)]


def test_who_counts_alone_is_seen_by_nobody(root: Path) -> None:
    alone().hold(5)
    assert joined(root).held == 0


def test_counting_begins_anew_with_the_first_process(root: Path) -> None:
    joined(root).hold(5)
    reset(root)
    assert joined(root).held == 0


def test_d31_what_a_dead_process_finished_or_was_writing_stays_counted(root: Path) -> None:
    """Its successor takes over its row; what it was writing lies there until it is resumed or removed."""
    script = "import os, sys; from pathlib import Path; from regproxy.storage.shared_usage import joined\n"
    script += "usage = joined(Path(sys.argv[1])); usage.hold(7); usage.write(5); usage.promise(3); usage.want(2); os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", script, str(root)], check=False)
    watching = SharedUsage(joined(root)._map, row=100)
    assert (watching.held, watching.finished, watching.abandoned, watching.writing) == (12, 7, 5, 0)
    assert (watching.promised, watching.wanted) == (0, 0)


def test_d31_who_looks_for_the_dead_counts_what_they_were_writing_once(root: Path) -> None:
    script = "import os, sys; from pathlib import Path; from regproxy.storage.shared_usage import joined\n"
    script += "usage = joined(Path(sys.argv[1])); usage.write(5); usage.promise(3); os.kill(os.getpid(), 9)"
    ours = joined(root)
    ours.write(1)
    subprocess.run([sys.executable, "-c", script, str(root)], check=False)
    for _ in range(2):
        ours.inherit()
        assert (ours.writing, ours.abandoned, ours.promised) == (1, 5, 0)


async def test_together_they_promise_no_more_than_there_is(root: Path) -> None:
    one, other = _quota(root, 10 * MIB), _quota(root, 10 * MIB)
    first = await one.reserve(6 * MIB)
    with pytest.raises(Full):
        await other.reserve(6 * MIB)
    await first.use(5 * MIB)
    with pytest.raises(Full):
        await other.reserve(6 * MIB)
    second = await other.reserve(3 * MIB)
    await first.use(MIB)
    await second.use(3 * MIB)
    assert (one.held, one.promised) == (9 * MIB, 0)


async def test_who_waits_for_another_to_end_is_admitted_then(root: Path) -> None:
    one, other = _quota(root, 16 * MIB), _quota(root, 16 * MIB)
    first = await one.reserve(9 * MIB)
    waiting = asyncio.create_task(other.reserve(9 * MIB))
    await asyncio.sleep(0)
    first.release()
    (await waiting).release()
    assert (one.held, one.promised) == (0, 0)


async def test_what_one_waits_for_another_makes_room_for(root: Path) -> None:
    """Only one of them sweeps, and only for what has come."""
    one, sweeping = _quota(root, 16 * MIB), _quota(root, 16 * MIB)
    sweeping.put(16 * MIB)
    reservation = await one.reserve(12 * MIB)
    waiting = asyncio.create_task(reservation.use(3 * MIB))
    while not waiting.done():
        sweeping.put(-min(MIB, await sweeping.shortage()))
        await asyncio.wait([waiting], timeout=0.2)
    assert sweeping.usage.finished >= 12 * MIB
    assert (sweeping.promised, sweeping.usage.wanted) == (9 * MIB, 0)
    assert sweeping.held <= 16 * MIB
    reservation.release()


async def test_d25_a_giant_leaves_room_for_what_is_ordinary(root: Path) -> None:
    """Its host may announce it and then send next to nothing, for as long as it likes."""
    one, other = _quota(root, 16 * MIB), _quota(root, 16 * MIB)
    with pytest.raises(Full):
        await one.reserve(16 * MIB)
    giant = await one.reserve(15 * MIB)
    ordinary = await other.reserve(MIB)
    await ordinary.use(MIB)
    ordinary.settle(MIB, 0)
    assert other.held == MIB
    unknown = await other.reserve(0)
    with pytest.raises(Full):
        await unknown.use(2 * MIB)
    giant.release()
    await unknown.use(2 * MIB)
    unknown.settle(2 * MIB, replaced=0)
    assert (one.held, one.promised) == (3 * MIB, 0)


async def test_d31_a_process_killed_in_the_middle_leaves_counted_what_it_has_written(root: Path) -> None:
    script = """
import asyncio, os, sys
from pathlib import Path
from tests.storage.test_shared_usage import MIB, _quota

async def main():
    reservation = await _quota(Path(sys.argv[1]), 10 * MIB).reserve(9 * MIB)
    await reservation.use(MIB)
    os.kill(os.getpid(), 9)

asyncio.run(main())
"""
    await asyncio.to_thread(subprocess.run, [sys.executable, "-c", script, str(root)], check=False)
    successor = _quota(root, 10 * MIB)
    assert (successor.held, successor.promised) == (MIB, 0)
    (await successor.reserve(9 * MIB)).release()
    successor.trimmed(MIB, 0, 0)
    assert successor.held == 0, "somebody has looked, and there is no file"
