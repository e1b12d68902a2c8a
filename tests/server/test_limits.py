"""What the machine tells of its processes."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from regproxy.policy.heartbeat import Heartbeat
from regproxy.server.limits import processor_seconds


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
