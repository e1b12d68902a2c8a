"""Programs that run beside the tests, and the ports and folders they live in."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

# A test run that is killed takes its daemons along.
_LEASH = ["setpriv", "--pdeathsig", "TERM"]


class Daemon:
    """A program in the background, its output in a file, ended by its own process group."""

    def __init__(self, command: Sequence[str | Path], log: Path, env: Mapping[str, str] | None = None) -> None:
        self._command = command
        self._env = dict(os.environ, **(env or {}))
        self._process: subprocess.Popen[bytes] | None = None
        self.log = log

    def start(self, is_ready: Callable[[], bool], within: float = 300) -> None:
        """Start, and return once *is_ready*; raises RuntimeError with the program's output when it never is."""
        with self.log.open("ab") as output:
            self._process = subprocess.Popen([*_LEASH, *self._command], stdout=output, stderr=output, env=self._env, start_new_session=True)
        deadline = time.monotonic() + within
        while not is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(f"{self._command[0]} did not become ready:\n{self._last_words()}")
            time.sleep(0.05)

    def stop(self, within: float = 120) -> None:
        """Ask it to end; end its whole group if it does not."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(within)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    @property
    def pid(self) -> int:
        assert self._process is not None, "it does not run"
        return self._process.pid

    def tell(self, number: signal.Signals) -> None:
        """Send it a signal: SIGSTOP, SIGCONT."""
        assert self._process is not None, "it does not run"
        self._process.send_signal(number)

    def _last_words(self) -> str:
        return self.log.read_text(errors="replace")[-4000:]


def is_listening(port: int, address: str = "127.0.0.1") -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((address, port)) == 0


def is_accepting(path: Path) -> bool:
    """Whether a program listens on the Unix socket at *path*."""
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


def run(command: Sequence[str | Path], env: Mapping[str, str] | None = None, within: float = 500) -> str:
    """Run a program to its end and give back its output; raises RuntimeError with what it said if it fails."""
    done = subprocess.run(command, env=dict(os.environ, **(env or {})), capture_output=True, text=True, timeout=within, check=False)
    if done.returncode:
        line = " ".join(str(word) for word in command)
        raise RuntimeError(f"{line}\nexit {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    return done.stdout


def unmount_below(folder: Path) -> None:
    """Detach whatever is still mounted below *folder*, innermost first, so that it can be removed."""
    mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for mount in reversed(mounts):
        if Path(mount).is_relative_to(folder):
            subprocess.run(["umount", "--lazy", mount], check=False)
