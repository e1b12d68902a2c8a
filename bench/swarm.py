"""A fleet of many nodes that pull one blob at once, simulated with the functions by which members decide.

`python -m bench.swarm` writes bench/results/swarm.md. Who asks whom, the order of the walk, "busy", suspicions and the pace at which a
member is left are regproxy.policy.fleet itself. All else is a fluid model: in each step, lines and processors are shared evenly by
those who have something to send.

Left out: TCP, latency but for 1 ms a question, disks, what "busy" and hashing cost, pulls that begin at different times, members that come
and go, zones, and clients. How much a processor can pass on is an assumption.
"""

import argparse
import math
import random
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from regproxy.policy.fleet.cut import Cut, piece_at
from regproxy.policy.fleet.pace import Spent, Transfer, Usual, Verdict
from regproxy.policy.fleet.ring import Ring, start
from regproxy.policy.fleet.suspicion import Suspicions
from regproxy.policy.fleet.walk import Walk
from regproxy.policy.fleet.zones import Zones

RESULTS = Path(__file__).parent / "results" / "swarm.md"
DIGEST = "sha256:" + "5a" * 32
GB, MB, GBIT = 1e9, 1e6, 125e6
WINDOW = 12  # pieces: regproxy.policy.fleet.ahead.WINDOW, where pieces come fast
CPU = 400 * MB  # bytes per second, in and out together, that a node's processor passes on: assumed
QUESTION = 0.001  # seconds
TIMEOUT = 1.0  # seconds until a dead member is noticed
LOOK = 1.0  # seconds between two looks at transfers that take long: a member looks four times as often

Floats: TypeAlias = Any  # an array: numpy is only in the group bench, and so are its types


@dataclass
class Node:
    """What one member knows and does."""

    ring: Ring
    jitter: float
    is_dead: bool
    suspicions: Suspicions = field(default_factory=Suspicions)
    usual: Usual = field(default_factory=Usual)
    level: int | None = None
    next_piece: int = 0
    wanted: set[int] = field(default_factory=set)  # pieces of the window that are on their way
    done_at: float | None = None


@dataclass(frozen=True)
class Result:
    """How one pull went."""

    nodes: int
    gbit: float
    dead: float
    gigabytes: float
    ideal: float
    median: float
    last: float
    busiest: float
    upstream: float
    busy: float
    left: int
    first: float
    seconds: float

    def row(self) -> str:
        figures = [self.median, self.last, self.busiest, self.upstream, self.first, self.busy]
        told = [f"{self.nodes:,}", self.gbit, f"{self.dead:.0%}", f"{self.gigabytes:g}", f"{self.ideal:.1f}"]
        return f"| {' | '.join(map(str, [*told, *(f'{each:.2f}' for each in figures), self.left, f'{self.seconds:.0f}']))} |"


class Swarm:
    """One pull of one blob by all nodes."""

    def __init__(self, count: int, size: float, rate: float, dead: float, seed: int) -> None:
        """Let *count* nodes pull *size* bytes over lines of *rate* bytes per second each way; a share of them is *dead*."""
        chance = random.Random(seed)
        names = [f"http://10.{number >> 16}.{number >> 8 & 255}.{number & 255}:5000" for number in range(count)]
        ring = Ring(names, names[0])
        self.number = {name: number for number, name in enumerate(names)}
        killed = set(chance.sample(range(count), round(count * dead)))
        self.nodes = [Node(ring.seen_by(name), chance.random() * 0.1, number in killed) for number, name in enumerate(names)]
        self.cuts: list[Cut] = []
        while not self.cuts or self.cuts[-1].stop < size:
            self.cuts.append(piece_at(self.cuts[-1].stop if self.cuts else 0))
        self.lengths = np.array([min(cut.stop, size) - cut.start for cut in self.cuts])
        self.begins = [start(DIGEST, cut.number) for cut in self.cuts]
        self.size, self.rate, self.count = size, rate, count
        self.now = 0.0
        self.step = 0.02 if rate > 5 * GBIT else 0.05
        self.progress = np.zeros((count, len(self.cuts)))
        self.state: Any = np.zeros((count, len(self.cuts)), np.uint8)  # 0: nothing, 1: on its way, 2: here
        self.sending: dict[tuple[int, int], int] = {}
        self.sent = np.zeros(count + 1)
        self.busy = self.left = 0
        self.first = np.full(count, np.inf)
        self.walks: dict[tuple[int, int], Walk] = {}
        self.began: dict[tuple[int, int], float] = {}
        # Flows, by column: who sends, who receives, which piece, how much came, from when on.
        self.flows: Floats = np.zeros((5, 0))
        self.new: list[tuple[float, float, float, float, float]] = []

    def run(self, limit: float) -> None:
        """Simulate until all are done, or for *limit* seconds."""
        looked, open_nodes = 0.0, [number for number, node in enumerate(self.nodes) if not node.is_dead]
        while open_nodes and self.now < limit:
            for number in open_nodes:
                self._fill(number)
            if self.new:
                self.flows = np.concatenate([self.flows, np.array(self.new).T], axis=1)
                self.new = []
            self._move()
            self.now += self.step
            self._end()
            if self.now - looked >= LOOK:
                looked = self.now
                self._look()
            open_nodes = [number for number in open_nodes if self.nodes[number].done_at is None]

    def _fill(self, number: int) -> None:
        node = self.nodes[number]
        if self.now < node.jitter:
            return
        while len(node.wanted) < WINDOW and node.next_piece < len(self.cuts):
            piece = node.next_piece
            node.next_piece += 1
            if self.state[number, piece] == 2:
                continue
            node.wanted.add(piece)
            if self.state[number, piece] == 0:
                self._ask(number, piece)

    def _ask(self, number: int, piece: int, got: float = 0.0) -> None:
        """Find whom *number* gets *piece* from, who may have to ask too."""
        while True:
            node, delay = self.nodes[number], QUESTION
            self.state[number, piece] = 1
            key = number, piece
            walk = self.walks.get(key)
            if walk is None:
                walk = self.walks[key] = Walk(Zones(node.ring), self.begins[piece], node.level, partial(self._is_suspected, node))
            source = self.count
            while (ask := walk.next()) is not None:
                asked = self.number[ask.member]
                if self.nodes[asked].is_dead:
                    delay += TIMEOUT
                    node.suspicions.failed(ask.member, "it is dead", self.now)
                    walk.failed(ask)
                elif not ask.is_final and self.sending.get((asked, piece), 0) >= node.ring.fan_out:
                    self.busy += 1
                    delay += QUESTION
                    walk.busy(ask)
                else:
                    source = asked
                    node.level = walk.level
                    break
            self.new.append((source, number, piece, got, self.now + delay))
            self.began[key] = self.now + delay
            if source == self.count:
                return
            self.sending[source, piece] = self.sending.get((source, piece), 0) + 1
            if self.state[source, piece] != 0:
                return
            number, got = source, 0.0

    def _is_suspected(self, node: Node, name: str) -> bool:
        return node.suspicions.is_suspected(name, self.now)

    def _move(self) -> None:
        source, target, piece = (self.flows[row].astype(np.int64) for row in range(3))
        got, ready = self.flows[3], self.flows[4] <= self.now
        is_upstream = source == self.count
        there = np.where(is_upstream, self.lengths[piece], self.progress[np.minimum(source, self.count - 1), piece])
        room = np.where(ready, np.maximum(there - got, 0.0), 0.0) / self.step
        up, down = np.full(self.count + 1, self.rate), np.full(self.count, self.rate)
        cpu: Any = np.append(np.full(self.count, CPU), np.inf)
        moved = np.zeros_like(room)
        for _ in range(5):
            active = np.flatnonzero(room > 1.0)
            if not len(active):
                break
            s, t = source[active], target[active]
            senders, receivers = np.bincount(s, minlength=self.count + 1), np.bincount(t, minlength=self.count)
            both = senders + np.append(receivers, 0)
            share = np.minimum.reduce([up[s] / senders[s], down[t] / receivers[t], cpu[s] / both[s], cpu[t] / both[t], room[active]])
            moved[active] += share
            room[active] -= share
            out, into = np.bincount(s, share, self.count + 1), np.bincount(t, share, self.count)
            up, down, cpu = up - out, down - into, cpu - out - np.append(into, 0.0)
        self.flows[3] = got + moved * self.step
        self.progress[target, piece] = self.flows[3]
        self.sent += np.bincount(source, moved * self.step, self.count + 1)

    def _end(self) -> None:
        pieces = self.flows[2].astype(np.int64)
        is_over = self.flows[3] >= self.lengths[pieces] - 64
        if not is_over.any():
            return
        for source, number, piece in self.flows[:3, is_over].T.astype(int).tolist():
            node = self.nodes[number]
            self.progress[number, piece] = self.lengths[piece]
            self.state[number, piece] = 2
            self._release(source, piece)
            self.walks.pop((number, piece), None)
            node.usual.ended(int(self.lengths[piece]), self.now - self.began.pop((number, piece)))
            if piece == 0:
                self.first[number] = self.now
            node.wanted.discard(piece)
            if node.next_piece == len(self.cuts) and not node.wanted:
                node.done_at = self.now
        self.flows = self.flows[:, ~is_over]

    def _look(self) -> None:
        """Leave members that are much slower than others, as a member does."""
        keep: Any = np.ones(self.flows.shape[1], bool)
        for column in np.flatnonzero(self.flows[4] < self.now - 1.0).tolist():
            source, number, piece = self.flows[:3, column].astype(int).tolist()
            node, walk = self.nodes[number], self.walks[number, piece]
            transfer = Transfer(self.flows[4, column], int(self.lengths[piece]), walk.depth, node.usual, math.inf, Spent())
            transfer.received(1, self.flows[4, column])
            if source == self.count or transfer.judge(self.now) is not Verdict.LEAVE or (ask := walk.next()) is None:
                continue
            walk.failed(ask)
            if walk.next() is None:
                continue
            keep[column] = False
            self.left += 1
            self._release(source, piece)
            self._ask(number, piece, self.flows[3, column])
        self.flows = self.flows[:, keep]

    def _release(self, source: int, piece: int) -> None:
        if source != self.count:
            self.sending[source, piece] -= 1


def simulated(count: int, gbit: float, dead: float, gigabytes: float, seed: int = 1) -> Result:
    began, size, rate = time.monotonic(), gigabytes * GB, gbit * GBIT
    ideal = max(size / rate, 2 * size / CPU)
    swarm = Swarm(count, size, rate, dead, seed)
    swarm.run(20 * ideal)
    alive = [number for number, node in enumerate(swarm.nodes) if not node.is_dead]
    done: Any = np.array([swarm.nodes[number].done_at or np.inf for number in alive])
    sent = swarm.sent[alive]
    return Result(
        count,
        gbit,
        dead,
        gigabytes,
        ideal,
        float(np.median(done)) / ideal,
        float(done.max()) / ideal,
        float(sent.max() / sent.mean()),
        float(swarm.sent[count] / size),
        swarm.busy / len(alive) / len(swarm.cuts),
        swarm.left,
        float(np.median(swarm.first[alive])),
        time.monotonic() - began,
    )


HEAD = """\
# A swarm, simulated

By `python -m bench.swarm`: all nodes begin to pull one blob at once, from one cache above them whose line is as fast as each of theirs. Who
asks whom is decided by regproxy's own functions (`regproxy/policy/fleet`); lines and processors are a fluid model.

Left out: TCP, latency beyond 1 ms a question, disks, what "busy" and hashing cost, pulls that begin at different times, members that come
and go, zones, and clients. A node's processor passes on 400 MB/s, in and out together: that is an assumption, and not what regproxy does
today; at 10 Gbit/s it decides. Each member notices a dead one after 1 s. Where nodes are many, blobs are smaller, so that it ends in
half an hour: what the beginning costs is then a larger part of the whole, and the figures are worse than for a large blob.

- `ideal s`: the seconds that the blob takes over one line, or through one processor.
- `median`, `last`: the time of nodes, over the ideal.
- `busiest`: what the busiest node sent, over the mean.
- `upstream`: what the cache above sent, over the blob.
- `piece 0 s`: the seconds until half of the nodes have the first MiB.
- `busy`: answers "busy", for each piece and node.
- `left`: transfers that were given up for another member.

| nodes | Gbit/s | dead | GB | ideal s | median | last | busiest | upstream | piece 0 s | busy | left | ran s |
|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|
"""


def _sizes(count: int, gbit: int) -> list[float]:
    """Return how many GB are pulled: few where nodes are many, and once more where that shows what the beginning costs."""
    return [3.0] if count <= 100 else [0.3, 1.5] if count >= 3000 and gbit >= 10 else [0.3]


def main() -> None:
    """Simulate all, and write the table."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--nodes", type=int, nargs="*", default=[10, 100, 1000, 3000])
    arguments.add_argument("--gb", type=float, help="size of the blob, instead of those of the table")
    chosen = arguments.parse_args()
    rows = []
    for count in chosen.nodes:
        for gbit in (1, 10):
            for gigabytes in [chosen.gb] if chosen.gb else _sizes(count, gbit):
                for dead in (0.0, 0.02):
                    if count * dead >= 1 or not dead:
                        rows.append(simulated(count, gbit, dead, gigabytes).row())
                        print(rows[-1], flush=True)
    RESULTS.write_text(HEAD + "\n".join(rows) + "\n")


if __name__ == "__main__":
    main()
