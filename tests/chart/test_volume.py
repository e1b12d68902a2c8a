"""The real program, as the user and in the volume that the chart gives it."""

import os
import signal
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.clients.processes import Daemon
from tests.clients.programs import require_root
from tests.free_port import free_port

from .chart import Rendered

# A Pod's first process; to read what only root may (this Python, perhaps) is all that it has beyond the user of the chart.
_POD = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
_USER = ["setpriv", "--reuid=10001", "--regid=10001", "--clear-groups", "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]


@pytest.fixture
def folder() -> Iterator[Path]:
    """Make a directory that another user can reach."""
    with tempfile.TemporaryDirectory(prefix="rp-", dir="/tmp") as name:
        yield Path(name)


def test_n15_01_the_volume_of_a_pod_is_a_store(folder: Path) -> None:
    """The kubelet gives a volume to fsGroup: root:10001, 2775, and where it looks through it, the group may write to all of it."""
    require_root()
    folder.chmod(0o755)
    volume = folder / "volume"
    volume.mkdir()
    os.chown(volume, 0, 10001)
    volume.chmod(0o2775)
    config = Rendered().config()
    assert config["store"] == {"root": "/var/lib/regproxy/store"}
    config |= {"listen": f"127.0.0.1:{free_port()}", "admin_listen": f"127.0.0.1:{free_port()}", "workers": 1, "drain": "0s"}
    config["store"]["root"] = str(volume / "store")
    (folder / "regproxy.yaml").write_text(yaml.safe_dump(config))
    for _ in range(2):
        command = [*_POD, *_USER, sys.executable, "-m", "regproxy", "serve", "--config", str(folder / "regproxy.yaml")]
        program = Daemon(command, folder / "log", {"HOME": "/tmp"})
        program.start(lambda: _answer(f"http://{config['admin_listen']}/readyz") == b"ready\n")
        _end(program)
        assert (volume / "store" / "layout").stat().st_uid == 10001
        subprocess.run(["chgrp", "-R", "10001", volume], check=True)
        subprocess.run(["chmod", "-R", "g+rwX", volume], check=True)
        subprocess.run(["find", volume, "-type", "d", "-exec", "chmod", "g+s", "{}", "+"], check=True)


def _answer(url: str) -> bytes:
    try:
        with urllib.request.urlopen(url) as response:
            return bytes(response.read())
    except OSError as error:
        return str(error).encode()


def _end(program: Daemon) -> None:
    """End the first process of the Pod, and with it all others; unshare itself takes no signal."""
    assert program._process is not None
    pid = program._process.pid
    [first] = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    os.kill(int(first), signal.SIGTERM)
    program._process.wait()
    program.stop()
