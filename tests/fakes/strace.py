"""System calls that fail, or take their time, for one program alone: strace makes them (strace(1), Tampering)."""

import os
import shutil

import pytest


def injecting(**injections: str) -> tuple[str, ...]:
    """Write the words to put before a command: `fsync="error=EIO"`, `pwrite64="delay_enter=200000"` (microseconds).

    `-D`: it is the program that is our child, and not strace.
    """
    if shutil.which("strace") is None:
        (pytest.fail if os.environ.get("REGPROXY_REQUIRE_CLIENTS") == "1" else pytest.skip)("strace is not installed")
    rules = [word for call, what in injections.items() for word in ("-e", f"inject={call}:{what}")]
    return ("strace", "-D", "-f", "--seccomp-bpf", "-qq", "-o", "/dev/null", "-e", f"trace={','.join(injections)}", *rules)
