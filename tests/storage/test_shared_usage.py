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


def test_a_dead_process_keeps_what_it_finished_and_nothing_else(root: Path) -> None:
    """Its successor takes over its row; what it was writing is an orphan, which nobody counts."""
    script = "import os, sys; from pathlib import Path; from regproxy.storage.shared_usage import joined\n"
    script += "usage = joined(Path(sys.argv[1])); usage.hold(7); usage.write(5); usage.promise(3); usage.want(2); os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", script, str(root)], check=False)
    watching = SharedUsage(joined(root)._map, row=100)
    assert (watching.held, watching.promised, watching.wanted) == (7, 0, 0)


async def test_together_they_promise_no_more_than_there_is(root: Path) -> None:
    one, other = _quota(root, 10 * MIB), _quota(root, 10 * MIB)
    await one.reserve(6 * MIB)
    with pytest.raises(Full):
        await other.reserve(6 * MIB)
    await other.reserve(4 * MIB)


async def test_what_one_waits_for_another_makes_room_for(root: Path) -> None:
    """Only one of them sweeps."""
    one, sweeping = _quota(root, 10 * MIB), _quota(root, 10 * MIB)
    sweeping.put(8 * MIB)
    waiting = asyncio.create_task(one.reserve(6 * MIB))
    excess = await sweeping.shortage()
    assert excess >= 4 * MIB
    sweeping.put(-excess)
    reservation = await waiting
    assert sweeping.promised == 6 * MIB
    reservation.release()
