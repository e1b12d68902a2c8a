"""The machine that figures were measured on."""

import os
import platform
from pathlib import Path


def described() -> str:
    """Say in a line what it is and runs."""
    memory = next(line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemTotal"))
    gigabytes = int(memory.split()[1]) / 1024**2
    system = platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    programs = f"Linux {platform.release()}, Python {platform.python_version()}"
    return f"{os.cpu_count()} cores, {gigabytes:.0f} GiB of memory, {system}, {programs}."
