"""What the machine lets us have: cores and descriptors."""

import ctypes
import math
import os
import resource
from pathlib import Path

_STANDARD_ERROR = 2
_M_ARENA_MAX = -8  # malloc.h
_USER_TIME = 11  # of the fields behind the name; the system's time follows
_FEW_FILES = 4096  # each client is one, and each open blob; a cluster's restart is a few thousand

_QUOTAS = (Path("/sys/fs/cgroup/cpu.max"), Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"))
_PERIOD = Path("/sys/fs/cgroup/cpu/cpu.cfs_period_us")


def cores() -> int:
    """Count the cores that we may run on, no more than a container's quota of them, rounded up."""
    found = len(os.sched_getaffinity(0))
    return max(1, min(found, math.ceil(_quota() or found)))


def take_all_files() -> str | None:
    """Raise the limit of file descriptors as far as allowed; return a warning where it stays low."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    few = most != resource.RLIM_INFINITY and most < _FEW_FILES
    return f"only {most} open files are allowed: many clients at once will be turned away; raise the limit on nofile" if few else None


def share_arenas() -> None:
    """Have all threads but the first, of those that are begun later, allocate from one arena: glibc would begin one for each (mallopt(3)).

    Few of them allocate at a time, as Python's lock has it, and what each leaves free in an arena of its own is free for nobody else.
    """
    if (mallopt := getattr(ctypes.CDLL(None), "mallopt", None)) is not None:  # musl has neither
        mallopt(_M_ARENA_MAX, 2)


def processor_seconds(process: int) -> float | None:
    """Return how many seconds of processor time *process* has used (proc_pid_stat(5)); None where that cannot be read."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return (int(fields[_USER_TIME]) + int(fields[_USER_TIME + 1])) / os.sysconf("SC_CLK_TCK")


def _quota() -> float | None:
    """Read the cores that the cgroup allows (kernel, cgroup-v2 and sched-bwc); None where that is all of them."""
    try:
        return _share(*_QUOTAS[0].read_text().split())
    except OSError:
        pass
    try:
        return _share(_QUOTAS[1].read_text().strip(), _PERIOD.read_text())
    except OSError:
        return None


def _share(quota: str, period: str) -> float | None:
    return None if quota in ("max", "-1") else int(quota) / int(period)


def fill_standard_streams() -> None:
    """Open /dev/null where standard streams are closed, or a socket or a database takes their numbers and what is written to them."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= _STANDARD_ERROR:
        os.set_inheritable(descriptor, True)  # noqa: FBT003
    os.close(descriptor)
