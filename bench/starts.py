"""From exec to the first answer: `python -m bench.starts [--rounds 9]`. What an operator waits for who starts regproxy again."""

import argparse
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.peers import Upstream, configured
from tests.rig import LOOPBACK

_NOBODY = Upstream("http://127.0.0.1:9")  # the discard port: upstream is asked for nothing
_PAUSE = 0.001  # seconds between two attempts to connect


def started(root: Path, **settings: object) -> float:
    """Start one, with *settings* beside those it comes with, and return after how many seconds it answered."""
    command, port, _ = configured(_NOBODY, root, None, sys.executable, **settings)
    with (root / "log").open("wb") as log:
        began = time.perf_counter()
        program = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            while not _is_answered(port):
                if program.poll() is not None:
                    raise RuntimeError((root / "log").read_text())
                time.sleep(_PAUSE)
            return time.perf_counter() - began
        finally:
            program.terminate()
            program.wait()


def _is_answered(port: int) -> bool:
    try:
        with socket.create_connection((LOOPBACK, port)) as connection:
            connection.sendall(b"GET /v2/ HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")
            return connection.recv(12) == b"HTTP/1.1 200"
    except ConnectionError:
        return False


def measured(rounds: int) -> float:
    """Start *rounds* times over the same store, and once before, which compiles modules; return the median."""
    with tempfile.TemporaryDirectory() as root:
        return statistics.median([started(Path(root)) for _ in range(rounds + 1)][1:])


def main() -> None:
    """Parse the arguments and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    print(f"exec to the first answer: {measured(arguments.rounds):.3f} s, the median of {arguments.rounds}")


if __name__ == "__main__":
    main()
