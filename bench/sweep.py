"""What a sweep costs those who are being served: `python -m bench.sweep [BLOBS]`, by wrk.

The sweep is that of `regproxy store gc`, which goes as one for want of room does. It is broken off and begun again, so that seconds with
it and seconds without it take turns.
"""

import asyncio
import json
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from bench.store import fill, is_answering, prepare
from tests.free_port import free_port

_CONNECTIONS = 16
_SECONDS = 4
_UNITS = {"us": 1e-3, "ms": 1.0, "s": 1e3}  # in milliseconds


@dataclass(frozen=True, slots=True)
class _Hits:
    """How many there were in a second, and how many milliseconds the slowest of a hundred took."""

    rate: float
    slowest: float


def _hits(url: str) -> _Hits:
    command = ["wrk", "-t1", f"-c{_CONNECTIONS}", f"-d{_SECONDS}s", "--latency", url]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    rate, slowest = re.search(r"Requests/sec:\s+([\d.]+)", done.stdout), re.search(r"99%\s+([\d.]+)(us|ms|s)", done.stdout)
    if rate is None or slowest is None or "Non-2xx" in done.stdout:
        raise RuntimeError(done.stdout)
    return _Hits(float(rate[1]), float(slowest[1]) * _UNITS[slowest[2]])


@contextmanager
def _serving(root: Path, port: int, admin_port: int) -> Iterator[None]:
    config = root.with_suffix(".yaml")
    listen = {"listen": f"127.0.0.1:{port}", "admin_listen": f"127.0.0.1:{admin_port}", "log_level": "error"}
    config.write_text(yaml.safe_dump({**listen, "store": {"root": str(root), "high_watermark": "100%"}}))
    server = subprocess.Popen([sys.executable, "-m", "regproxy", "serve", "--config", config])
    try:
        while not is_answering(f"http://127.0.0.1:{admin_port}/readyz"):
            time.sleep(0.02)
        yield
    finally:
        server.terminate()
        server.wait()


class _Sweep(threading.Thread):
    """Removes what was not used for an hour, until it is stopped: a server that nobody listens to goes on with nothing."""

    def __init__(self, admin_port: int) -> None:
        super().__init__()
        self._url = f"http://127.0.0.1:{admin_port}/api/v1/store/collect"
        self._enough = threading.Event()
        self.is_done = False

    def run(self) -> None:
        request = urllib.request.Request(self._url, b'{"unused_for": 3600}', {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as response:
            for line in response:
                self.is_done = "result" in json.loads(line)
                if self._enough.is_set():
                    break

    def stop(self) -> None:
        self._enough.set()
        self.join()


def _count(admin_port: int) -> int:
    with urllib.request.urlopen(f"http://127.0.0.1:{admin_port}/api/v1/store/images", timeout=60) as response:
        return int(json.load(response)["count"])


def _in_turns(url: str, admin_port: int) -> tuple[list[_Hits], list[_Hits]]:
    """Measure without a sweep and with one until all is swept; the last sweep ended while it was measured, and does not count."""
    without: list[_Hits] = []
    during: list[_Hits] = []
    while True:
        without.append(_hits(url))
        sweep = _Sweep(admin_port)
        sweep.start()
        found = _hits(url)
        if sweep.is_done:
            return without, during
        during.append(found)
        sweep.stop()


def _told(what: str, found: Sequence[_Hits]) -> float:
    rate, slowest = statistics.median(each.rate for each in found), statistics.median(each.slowest for each in found)
    print(f"{what:<8} {len(found)} x {_SECONDS} s: {rate:7.0f} hits/s, p99 {slowest:6.2f} ms")
    return rate


def main() -> None:
    """Fill a store, serve one blob of it, and sweep all the others."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory) / "store"
        asyncio.run(prepare(root))
        hot = fill(root, count)[0]
        port, admin_port = free_port(), free_port()
        url = f"http://127.0.0.1:{port}/v2/library/app/blobs/sha256:{hot}?ns=docker.io"
        with _serving(root, port, admin_port):
            _hits(url)  # so that it is in use
            time.sleep(15)  # reconciliation, and the record of that use
            without, during = _in_turns(url, admin_port)
            left = _count(admin_port)
        if left != 1 or not during:
            raise RuntimeError(f"{left} of {count} blobs are left, {len(during)} rounds were measured: take more blobs")
        ratio = _told("sweeping", during) / _told("without", without)
        print(f"swept {count - left} blobs; hits during the sweep: {ratio:.2f} of those without")


if __name__ == "__main__":
    main()
