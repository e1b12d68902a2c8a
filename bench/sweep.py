"""What a sweep costs those who are being served: `python -m bench.sweep [BLOBS]`, by wrk, hits per second before, during and after it."""

import asyncio
import json
import re
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from bench.store import fill, is_answering, prepare
from tests.rig import free_port

_CONNECTIONS = 16
_SECONDS = 4


def _hits(url: str) -> float:
    done = subprocess.run(["wrk", "-t1", f"-c{_CONNECTIONS}", f"-d{_SECONDS}s", url], capture_output=True, text=True, check=True)
    found = re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)
    if found is None or "Non-2xx" in done.stdout:
        raise RuntimeError(done.stdout)
    return float(found[1])


@contextmanager
def _serving(root: Path, port: int, admin_port: int) -> Iterator[None]:
    config = root.with_suffix(".yaml")
    listen = {"listen": f"127.0.0.1:{port}", "admin_listen": f"127.0.0.1:{admin_port}", "log_level": "error"}
    config.write_text(yaml.safe_dump({**listen, "store": {"root": str(root)}}))
    server = subprocess.Popen([sys.executable, "-m", "regproxy", "serve", "--config", config])
    try:
        while not is_answering(f"http://127.0.0.1:{admin_port}/readyz"):
            time.sleep(0.02)
        yield
    finally:
        server.terminate()
        server.wait()


class _Sweep(threading.Thread):
    """Removes all that was not used for an hour."""

    def __init__(self, admin_port: int) -> None:
        super().__init__()
        self._url = f"http://127.0.0.1:{admin_port}/api/v1/store/collect"
        self.removed = 0
        self.seconds = 0.0

    def run(self) -> None:
        began = time.perf_counter()
        request = urllib.request.Request(self._url, b'{"unused_for": 3600}', {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=600) as response:
            self.removed = len(json.load(response)["removed"])
        self.seconds = time.perf_counter() - began


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
            time.sleep(15)  # stocktaking, and the record of that use
            before = _hits(url)
            sweep = _Sweep(admin_port)
            sweep.start()
            during = []
            while sweep.is_alive():
                during.append(_hits(url))
            after = _hits(url)
            print(f"swept {sweep.removed} blobs in {sweep.seconds:.1f} s")
            print(f"hits/s before {before:.0f}, during {', '.join(f'{each:.0f}' for each in during)}, after {after:.0f}")


if __name__ == "__main__":
    main()
