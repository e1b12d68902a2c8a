"""Where processes count together."""

import os
import subprocess
import sys
from pathlib import Path

from regproxy.telemetry.multiprocess import DIRECTORY, NAME, counting_together

COUNT = (
    "from regproxy.telemetry import metrics; metrics.STALE_SERVED.inc(); metrics.WORKERS.set(3); print(metrics.exposition()[0].decode())"
)


def _counted(name: str) -> list[str]:
    environment = {**os.environ, NAME: name}
    done = subprocess.run([sys.executable, "-c", COUNT], capture_output=True, text=True, check=True, env=environment)
    return [line for line in done.stdout.splitlines() if line.startswith(("regproxy_stale_served_total ", "regproxy_workers "))]


def test_each_process_tells_what_all_have_counted_and_a_successor_counts_on(tmp_path: Path) -> None:
    with counting_together(tmp_path, "supervisor"):
        counts = [_counted(name) for name in ("a", "b", "a")]
    assert [sorted(lines) for lines in counts] == [[f"regproxy_stale_served_total {n}.0", "regproxy_workers 3.0"] for n in (1, 2, 3)]


def test_what_a_killed_program_left_is_removed(tmp_path: Path) -> None:
    with counting_together(tmp_path, "supervisor"):
        (Path(os.environ[DIRECTORY]) / "counter_1.db").touch()
        with counting_together(tmp_path, "supervisor"):
            assert list(Path(os.environ[DIRECTORY]).iterdir()) == []
            assert Path(os.environ[DIRECTORY]).stat().st_mode & 0o777 == 0o700


def test_the_supervisor_does_not_count_before_it_is_said_where(tmp_path: Path) -> None:
    """Metrics ask the environment when they are imported; what the supervisor counts otherwise is in no answer."""
    look = """
import sys, pathlib, regproxy.cli.serve, regproxy.server
from regproxy.storage.directory.store_lock import claimed
with claimed(pathlib.Path(sys.argv[1])):
    sys.exit("regproxy.telemetry.metrics" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", look, str(tmp_path / "store")], check=False).returncode == 0
