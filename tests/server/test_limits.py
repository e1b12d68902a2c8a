"""What the machine tells of its processes."""

import os
import platform
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from regproxy.policy.heartbeat import Heartbeat
from regproxy.server.limits import processor_seconds

_ALLOCATING = """
import ctypes, threading
from regproxy.server.limits import share_arenas
share_arenas()
libc = ctypes.CDLL(None)
everybody = threading.Barrier(8)
def allocate():
    everybody.wait()
    libc.malloc(100)
    everybody.wait()
threads = [threading.Thread(target=allocate) for _ in range(8)]
for each in threads: each.start()
for each in threads: each.join()
libc.malloc_stats()
"""
"""Allocates in eight threads at a time, and prints the arenas of glibc (malloc_stats(3))."""


@pytest.fixture
def busy() -> Iterator[int]:
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as process:
        yield process.pid
        process.kill()


def _beat(heartbeat: Heartbeat, process: int) -> bool:
    """Beat once *process* has used more of a core than at the last beat, however long that takes."""
    before = used = processor_seconds(process)
    while used == before:
        used = processor_seconds(process)
    return heartbeat.missed(used)


def test_n12_14_a_process_that_computes_is_busy_and_one_that_is_stopped_is_hung(busy: int) -> None:
    heartbeat = Heartbeat()
    heartbeat.reported()
    assert not any(_beat(heartbeat, busy) for _ in range(20))
    os.kill(busy, signal.SIGSTOP)
    os.waitid(os.P_PID, busy, os.WSTOPPED)
    assert [heartbeat.missed(processor_seconds(busy)) for _ in range(8)][-1]


def test_a_process_that_is_gone_has_used_nothing_that_is_known() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    assert processor_seconds(process.pid) is None


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="arenas are glibc's")
def test_all_threads_beside_the_first_share_one_arena() -> None:
    done = subprocess.run([sys.executable, "-c", _ALLOCATING], capture_output=True, text=True, check=True)
    assert [line for line in done.stderr.splitlines() if line.startswith("Arena")] == ["Arena 0:", "Arena 1:"]
