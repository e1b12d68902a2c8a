"""A worker of one version below a supervisor of another: installed over it while it runs."""

import json
import os
import subprocess
import sys

import pytest

from regproxy import __version__
from regproxy.server.child import VERSION


@pytest.mark.parametrize("running", ["0.0.1", None], ids=["another version", "one that does not say"])
def test_n15_07_a_worker_of_another_version_does_not_start_and_says_what_to_do(running: str | None) -> None:
    environment = {name: value for name, value in os.environ.items() if name != VERSION} | ({VERSION: running} if running else {})
    command = [sys.executable, "-m", "regproxy.server.worker"]
    done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    [line] = map(json.loads, done.stdout.splitlines())
    assert "restart regproxy" in line["message"]
    assert (line["running"], line["installed"]) == (running or "", __version__)
