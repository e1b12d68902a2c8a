"""A store of many blobs: how soon it serves, what that takes in memory, and what opening a hit costs.

python bench/store.py [BLOBS] [DIRECTORY]; a million take two minutes to make, and 4 GB of disk.
"""

import asyncio
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from hashlib import sha256
from pathlib import Path

import yaml

from regproxy.state.sqlite import SqliteIndex
from regproxy.storage.disk import DiskStore

PORT, ADMIN_PORT = 5990, 5991
BATCH = 20_000
HITS = 2000


async def prepare(root: Path) -> None:
    store = DiskStore(root)
    await store.prepare()
    store.close()
    await (await SqliteIndex.open(root / "index.db")).close()


def fill(root: Path, count: int) -> list[str]:
    connection = sqlite3.connect(root / "index.db")
    names: list[str] = []
    for shelf in range(256):
        (root / "blobs" / "sha256" / f"{shelf:02x}").mkdir(parents=True, exist_ok=True)
    for start in range(0, count, BATCH):
        bodies = [str(number).encode() for number in range(start, min(count, start + BATCH))]
        digests = [sha256(body).hexdigest() for body in bodies]
        for digest, body in zip(digests, bodies, strict=True):
            (root / "blobs" / "sha256" / digest[:2] / digest).write_bytes(body)
        rows = [(f"sha256:{digest}", len(body)) for digest, body in zip(digests, bodies, strict=True)]
        connection.executemany("INSERT INTO content VALUES (?, 'blob', 'application/octet-stream', ?, 1.0, 0)", rows)
        connection.executemany("INSERT INTO holders VALUES (?, 'blob', 'docker.io/library/app')", [(name,) for name, _ in rows])
        connection.commit()
        names += digests[:: max(1, count // HITS)]
    connection.close()
    return names


def is_answering(url: str) -> bool:
    try:
        return bool(urllib.request.urlopen(url, timeout=5).status == 200)
    except urllib.error.URLError:
        return False


def _rss(process: int) -> float:
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def _measure(root: Path, names: list[str]) -> dict[str, float]:
    config = root.with_suffix(".yaml")
    listen = {"listen": f"127.0.0.1:{PORT}", "admin_listen": f"127.0.0.1:{ADMIN_PORT}", "log_level": "error"}
    config.write_text(yaml.safe_dump({**listen, "store": {"root": str(root)}}))
    began = time.perf_counter()
    server = subprocess.Popen([sys.executable, "-m", "regproxy", "serve", "--config", config])
    try:
        while not is_answering(f"http://127.0.0.1:{ADMIN_PORT}/readyz"):
            time.sleep(0.02)
        ready = time.perf_counter() - began
        hits = time.perf_counter()
        for name in names:
            assert is_answering(f"http://127.0.0.1:{PORT}/v2/library/app/blobs/sha256:{name}?ns=docker.io")  # noqa: S101
        per_hit = (time.perf_counter() - hits) / len(names)
        time.sleep(20)  # stocktaking goes on behind the hits
        return {"ready, s": ready, "a first hit, ms": per_hit * 1000, "memory at most, MiB": _rss(server.pid)}
    finally:
        server.terminate()
        server.wait()


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with tempfile.TemporaryDirectory(dir=sys.argv[2] if len(sys.argv) > 2 else None) as directory:
        root = Path(directory) / "store"
        asyncio.run(prepare(root))
        names = fill(root, count)
        for what, figure in _measure(root, names).items():
            print(f"{count:>9,} blobs  {what:<22} {figure:8.2f}")


if __name__ == "__main__":
    main()
