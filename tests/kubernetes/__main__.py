"""All tests in a cluster, by two processes with a node each, as most of their time is waiting: `python -m tests.kubernetes`."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from .machine import Traces

_FOLDER = Path(__file__).parent
_OLD = "test_with_old_containerd.py"
_ALONE = ("test_chart.py", "test_webhook.py", _OLD)  # without a node, or with an old one


def _main() -> int:
    traces = Traces()
    files = sorted(path.name for path in _FOLDER.glob("test_*.py"))
    shares = ([name for name in files if name not in _ALONE], _ALONE)
    running = [_start(number, names) for number, names in enumerate(shares)]
    try:
        return max(process.wait() for process in running)
    finally:
        for process in running:
            process.terminate()
            process.wait()
        traces.remove()


def _start(number: int, names: Sequence[str]) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "pytest", "-q", *(str(_FOLDER / name) for name in names)]
    return subprocess.Popen(command, env={**os.environ, "CLUSTER_TESTS": "1", "CLUSTER_NODE": str(number)})


if __name__ == "__main__":
    sys.exit(_main())
