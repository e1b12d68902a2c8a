"""What a program and its children cost, as Linux tells it."""

import os
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def cpu(pid: int) -> float:
    """Seconds that a process, and its children dead or alive, have taken."""
    return sum(sum(map(int, _stat(each)[11:15])) for each in tree(pid)) / _TICKS


def cpu_of_threads(pid: int) -> float:
    """Seconds that the threads of a process that are alive have taken, to the nanosecond (Documentation/scheduler/sched-stats.rst)."""
    return sum(int(path.read_text().split()[0]) for path in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9


def memory(pid: int) -> float:
    """MiB that a process and its children hold, what they share counted once."""
    return sum(_kibibytes(Path(f"/proc/{each}/smaps_rollup"), "Pss:") for each in tree(pid)) / 1024


def resident(pid: int) -> float:
    """MiB that are resident in a process and in its children, also what they share with each other or with anybody."""
    return sum(_kibibytes(Path(f"/proc/{each}/status"), "VmRSS:") for each in tree(pid)) / 1024


def peak(pid: int) -> float:
    """MiB that the largest of a process and its children ever held."""
    return max(_kibibytes(Path(f"/proc/{each}/status"), "VmHWM:") for each in tree(pid)) / 1024


def born(pid: int) -> int:
    """Tell when it was started, in ticks since the machine was (proc(5), starttime)."""
    return int(_stat(pid)[19])


def descriptors(pid: int) -> int:
    return sum(len(list(Path(f"/proc/{each}/fd").iterdir())) for each in tree(pid))


def tree(pid: int) -> list[int]:
    """List a process and all its children."""
    parents = {int(path.name): int(_stat(int(path.name))[1]) for path in Path("/proc").iterdir() if path.name.isdigit() and _is_alive(path)}
    found = [pid]
    for each in found:
        found += [child for child, parent in parents.items() if parent == each]
    return found


def _is_alive(path: Path) -> bool:
    return (path / "stat").exists()


def _stat(pid: int) -> list[str]:
    """Read what follows the name, beginning with the state (proc(5), stat)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):  # it ended while we looked
        return ["X", *["0"] * 50]


def _kibibytes(path: Path, name: str) -> int:
    try:
        lines = path.read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(name)), 0)
