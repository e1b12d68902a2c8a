"""What `regproxy client-config` writes for the clients of the tests."""

import sys
from pathlib import Path

from .processes import run

_COMMAND = (sys.executable, "-m", "regproxy", "client-config")


def write_configuration(runtime: str, folder: Path, endpoint: str, *options: str) -> Path:
    """Have *folder* be the runtime's own directory, and all that it says written there by the command."""
    run([*_COMMAND, runtime, "--endpoint", endpoint, "--root", folder, "--apply", *options])
    return folder
