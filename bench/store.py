"""A store of many blobs beside a small one: how soon it serves, what that takes in memory, and what opening a hit costs.

python -m bench.store [--blobs N] [--directory PATH] [--keep]; a million take two minutes to make, and 4 GB of disk.
"""

import argparse
import asyncio
import itertools
import json
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from hashlib import sha256
from http.client import HTTPConnection
from pathlib import Path

import yaml

from bench.machine import described
from bench.peers import RESULTS
from bench.processes import cpu, peak
from bench.ratios import Ratio
from regproxy.index.sqlite import SqliteIndex
from regproxy.storage.disk import DiskStore
from tests.free_port import free_port

_SMALL = 100
_BATCH = 20_000
_HITS = 100  # blobs that are asked for after each start, each for the first time
_ROUNDS = 3
_LAST_SHARD = "ff"  # which is compared last: once a file in it that nobody recorded is on record, stock was taken


@dataclass(frozen=True, slots=True)
class Start:
    """One start: seconds until it serves, and until it has taken stock, of time and of processor time; ms of the median first hit.

    *memory* is MiB of the largest process.
    """

    blobs: int
    ready: float
    compared: float
    cpu: float
    hit: float
    memory: float


async def prepare(root: Path) -> None:
    """Begin a store."""
    store = DiskStore(root)
    await store.prepare()
    store.close()
    await (await SqliteIndex.open(root / "index.db")).close()


def fill(root: Path, count: int) -> list[str]:
    """Put *count* blobs into a store, and name some of them; nothing is done to one that was filled before."""
    names = [sha256(str(number).encode()).hexdigest() for number in range(0, count, max(1, count // (_HITS * _ROUNDS)))]
    if (filled := root.with_suffix(".filled")).exists():
        return names
    connection = sqlite3.connect(root / "index.db")
    for shard in range(256):
        (root / "blobs" / "sha256" / f"{shard:02x}").mkdir(parents=True, exist_ok=True)
    for start in range(0, count, _BATCH):
        bodies = [str(number).encode() for number in range(start, min(count, start + _BATCH))]
        digests = [sha256(body).hexdigest() for body in bodies]
        for digest, body in zip(digests, bodies, strict=True):
            (root / "blobs" / "sha256" / digest[:2] / digest).write_bytes(body)
        rows = [(f"sha256:{digest}", len(body)) for digest, body in zip(digests, bodies, strict=True)]
        connection.executemany("INSERT INTO content VALUES (?, 'blob', 'application/octet-stream', ?, 1.0, 0)", rows)
        connection.executemany("INSERT INTO holders VALUES (?, 'blob', 'docker.io/library/app')", [(name,) for name, _ in rows])
        connection.commit()
    connection.close()
    filled.touch()
    return names


def is_answering(url: str) -> bool:
    try:
        return bool(urllib.request.urlopen(url, timeout=5).status == 200)
    except urllib.error.URLError:
        return False


@dataclass(frozen=True, slots=True)
class _Server:
    """A server on a store that it has taken stock of."""

    blobs: int
    ready: float
    compared: float
    cpu: float
    port: int
    pid: int


@contextmanager
def _serving(root: Path, count: int) -> Iterator[_Server]:
    port, admin_port = free_port(), free_port()
    config = root.with_suffix(".yaml")
    listen = {"listen": f"127.0.0.1:{port}", "admin_listen": f"127.0.0.1:{admin_port}", "workers": 2, "log_level": "error"}
    config.write_text(yaml.safe_dump({**listen, "store": {"root": str(root), "high_watermark": "100%"}}))
    unrecorded = _unrecorded(root)
    began = time.perf_counter()
    server = subprocess.Popen([sys.executable, "-m", "regproxy", "serve", "--config", config])
    try:
        while not is_answering(f"http://127.0.0.1:{admin_port}/readyz"):
            time.sleep(0.02)
        ready = time.perf_counter() - began
        while not _is_recorded(root, unrecorded):
            time.sleep(0.1)
        yield _Server(count, ready, time.perf_counter() - began, cpu(server.pid), port, server.pid)
    finally:
        server.terminate()
        server.wait()


def _unrecorded(root: Path) -> str:
    """Put a blob that nobody recorded where it is compared last, and name it."""
    started = time.time_ns()
    bodies = (f"{started} {number}".encode() for number in itertools.count())
    body, digest = next((body, digest) for body in bodies if (digest := sha256(body).hexdigest()).startswith(_LAST_SHARD))
    (root / "blobs" / "sha256" / _LAST_SHARD / digest).write_bytes(body)
    return digest


def _is_recorded(root: Path, digest: str) -> bool:
    connection = sqlite3.connect(root / "index.db")
    try:
        return connection.execute("SELECT 1 FROM content WHERE digest = ?", (f"sha256:{digest}",)).fetchone() is not None
    finally:
        connection.close()


def _first_hits(servers: Sequence[_Server], names: Sequence[Sequence[str]]) -> list[list[float]]:
    """Ask the servers in turns, each over one connection, and tell how many milliseconds each hit took."""
    connections = [HTTPConnection("127.0.0.1", server.port) for server in servers]
    took: list[list[float]] = [[] for _ in servers]
    for number, asked in enumerate(zip(*names, strict=False)):
        order = list(zip(connections, asked, took, strict=True))
        for connection, name, times in order if number % 2 else reversed(order):
            times.append(_hit(connection, name))
    for connection in connections:
        connection.close()
    return took


def _hit(connection: HTTPConnection, name: str) -> float:
    began = time.perf_counter()
    connection.request("GET", f"/v2/library/app/blobs/sha256:{name}?ns=docker.io")
    response = connection.getresponse()
    body = response.read()
    took = (time.perf_counter() - began) * 1000
    if (response.headers["Cache-Status"], sha256(body).hexdigest()) != ("regproxy; hit", name):
        raise RuntimeError(f"{name}: {response.headers}")
    return took


def in_turns(directory: Path, counts: Sequence[int], rounds: int = _ROUNDS) -> tuple[list[Start], Ratio]:
    """Make a store of each size, where *directory* has none, then start on each in turn.

    The ratio is that of first hits, of the last size to the first.
    """
    names: dict[int, list[str]] = {}
    for count in counts:
        root = directory / str(count)
        root.parent.mkdir(parents=True, exist_ok=True)
        asyncio.run(prepare(root))
        names[count] = fill(root, count)
    found: list[Start] = []
    ratios: list[float] = []
    for turn in range(rounds):
        with ExitStack() as stack:
            servers = [stack.enter_context(_serving(directory / str(count), count)) for count in counts]
            asked = [names[count] if count <= _HITS else names[count][turn::_ROUNDS][:_HITS] for count in counts]
            hits = _first_hits(servers, asked)
            ratios += [took[-1] / took[0] for took in zip(*hits, strict=True)]
            for server, took in zip(servers, hits, strict=True):
                found.append(Start(server.blobs, server.ready, server.compared, server.cpu, statistics.median(took), peak(server.pid)))
                print(found[-1], flush=True)
    return found, Ratio.of(ratios)


def _table(starts: Sequence[Start]) -> str:
    lines = [
        "| blobs | s until it serves | s until stock is taken | of processor time | ms for a first hit | MiB of the largest process |",
        "|--:|--:|--:|--:|--:|--:|",
    ]
    for count in dict.fromkeys(each.blobs for each in starts):
        ours = [each for each in starts if each.blobs == count]
        seen = zip(*((each.ready, each.compared, each.cpu, each.hit) for each in ours), strict=True)
        ready, compared, spent, hit = (statistics.median(each) for each in seen)
        lines.append(f"| {count:,} | {ready:.2f} | {compared:.0f} | {spent:.1f} | {hit:.2f} | {max(each.memory for each in ours):.0f} |")
    return "\n".join(lines)


def main() -> None:
    """Make two stores, start on them in turns, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blobs", type=int, default=1_000_000)
    parser.add_argument("--directory", help="where to make the stores, instead of the usual place for what is temporary")
    parser.add_argument("--keep", action="store_true", help="keep what was found in bench/results")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.directory) as directory:
        found, ratio = in_turns(Path(directory), (_SMALL, arguments.blobs))
        print(_table(found), _told(ratio), sep="\n\n")
        if arguments.keep:
            _keep(found, ratio)


def _told(ratio: Ratio) -> str:
    return f"A first hit of the many takes {ratio} times one of the few; the two were asked in turns."


def _keep(found: Sequence[Start], ratio: Ratio) -> None:
    (RESULTS / "store.json").write_text(json.dumps([asdict(each) for each in found], indent=1) + "\n")
    about = f"Two workers, {_ROUNDS} starts on each store in turns; medians, and the most of memory."
    parts = ("# A store of many blobs beside a small one", about, described(), _table(found), _told(ratio))
    (RESULTS / "store.md").write_text("\n\n".join(parts) + "\n")


if __name__ == "__main__":
    main()
