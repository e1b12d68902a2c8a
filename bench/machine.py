"""The machine that figures were measured on."""

import os
import platform
import time
from pathlib import Path


def described() -> str:
    """Say in a line what it is and runs."""
    memory = next(line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemTotal"))
    gigabytes = int(memory.split()[1]) / 1024**2
    system = platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    programs = f"Linux {platform.release()}, Python {platform.python_version()}"
    return f"{os.cpu_count()} cores, {gigabytes:.0f} GiB of memory, {system}, {programs}."


class Busy:
    """How many cores have something to do, whatever it is, from now on (proc_stat(5))."""

    def __init__(self) -> None:
        """Begin."""
        self._began, self._before = time.monotonic(), _busy()

    def cores(self) -> float:
        """Tell it on the average until now."""
        return (_busy() - self._before) / (time.monotonic() - self._began)


def _busy() -> float:
    """Seconds that all cores have worked: all but idle, iowait, and what the host took."""
    user, nice, system, _, _, irq, softirq, *_ = map(int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:])
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")
