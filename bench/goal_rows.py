"""How each row of `bench.goals` is measured. A row returns figures and what they have to be; the quick way is only for trying it out."""

import asyncio
import math
import os
import statistics
import tempfile
from collections.abc import Awaitable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from bench import behind, hits, hosts, hung, idle, kills, lazy, misses, paced, pulls, slow, starts, store
from bench.crowd import Asked, crowd
from bench.figures import Figure, at_least
from bench.origin import image
from bench.peers import Peer, regproxy
from bench.ratios import Ratio

_MB = 1_000_000
STORES = Path(__file__).parent.parent / "build" / "stores"  # a million files take two minutes to make
_OF_NGINX = {"manifest by tag": 0.7, "manifest by digest": 0.7, "blob of 4 KB": 0.7, "blob of 100 KB": 0.65, "blob of 256 MB": 1.0}
_OF_NGINX_TLS = 0.6
_LARGE = "blob of 256 MB"
_ONCE = 1.005  # what is sent once, with the heads of responses and of frames


class Row(Protocol):
    """Measures what one goal, or several of a kind, are about."""

    def __call__(self, *, is_quick: bool) -> Awaitable[Sequence[Figure]]: ...


async def _hits(*, is_quick: bool) -> list[Figure]:
    found = hits.medians(await hits.measured(hits.Load(1, 1) if is_quick else hits.Load(2, 3), {"regproxy": regproxy}))
    figures = []
    for case in dict.fromkeys(case for case, _ in found):
        limit = _OF_NGINX_TLS if case.endswith("TLS") else _OF_NGINX[case]
        ours, nginx = (found[case, peer].bytes_rate for peer in ("regproxy", "nginx"))  # of a large blob, what is unfinished counts too
        figures.append(at_least(f"{case}, of nginx", _ratio(ours, nginx), limit))
    ours, nginx = (_ratio(hit.cpu * hit.rate, hit.bytes_rate) for hit in (found[_LARGE, "regproxy"], found[_LARGE, "nginx"]))
    return [*figures, Figure("CPU per GB sent, of nginx", _ratio(ours, nginx), 1.3)]


def _ratio(value: float, mark: float) -> float:
    return value / mark if mark else math.nan  # which reaches no goal


async def _near(*, is_quick: bool) -> list[Figure]:
    """A cold blob by curl, and by a client that hashes, each from a regproxy of its own."""
    megabytes, rounds = (32, 1) if is_quick else (256, 5)
    served = image({str(number): megabytes * _MB for number in range(rounds)})
    paths = served.paths()
    ratios: dict[str, list[float]] = {"curl": [], "hashing": []}
    with tempfile.TemporaryDirectory() as directory:
        async with hits.serving(served, Path(directory), dict.fromkeys(ratios, regproxy)) as peers:
            for number in range(rounds):
                for client, took in ratios.items():
                    turns = [peers["direct"], peers[client]] if number % 2 else [peers[client], peers["direct"]]
                    seconds = {}
                    for peer in turns:
                        await asyncio.to_thread(misses.settle, Path(directory))
                        seconds[peer.port] = await _fetched(client, peer, paths[str(number)])
                    took.append(seconds[peers[client].port] / seconds[peers["direct"].port])
                    print(f"{client:<8} {took[-1]:.2f} times direct", flush=True)
    what = f"cold {megabytes} MB, near upstream, over direct"
    return [
        Figure(f"{what}: curl", statistics.median(ratios["curl"]), 1.5),
        Figure(f"{what}: a client that hashes", statistics.median(ratios["hashing"]), 1.7),
    ]


async def _fetched(client: str, peer: Peer, path: str) -> float:
    if client == "curl":
        return (await misses.fetched(peer.url(path)))[1]
    [seen] = await crowd(Asked(peer.port, path, path.rpartition("/")[2], 1))
    if not seen.is_right:
        raise RuntimeError(f"{peer.url(path)} sent wrong bytes")
    return seen.last


async def _image(*, is_quick: bool) -> list[Figure]:
    megabytes, layers, rounds = (40, 12, 1) if is_quick else (500, 12, 2)
    figures = []
    for how, (cold, hot, factor) in pulls.ratios(await pulls.measured(megabytes, layers, rounds)).items():
        what = f"image of {layers} layers, {megabytes} MB, containerd 2, {how}"
        figures.append(Figure(f"{what}: cold over direct", cold.median, 1.15, remark=f"{factor:.3f}x the bytes"))
        figures.append(Figure(f"{what}: hot over direct", hot.median, 1.15))
    return figures


async def _far(*, is_quick: bool) -> list[Figure]:
    figures = []
    for megabytes in (32,) if is_quick else (96, 256):
        with tempfile.TemporaryDirectory() as root:
            found = await hosts.far(megabytes, 0.08, 8.0 * _MB, Path(root))
        what = f"far link, 8 MB/s a connection, 80 ms, {megabytes} MB"
        figures += [at_least(f"{what}: speed-up", found.speed_up, 8), Figure(f"{what}: bytes", found.upstream or 0.0, _ONCE)]
    return figures


async def _hang(*, is_quick: bool) -> list[Figure]:
    found = await hung.measured(2 if is_quick else 10)
    what = "upstream hangs: cached tag"
    return [
        Figure(f"{what}, first pull", found.first, 1, "s"),
        Figure(f"{what}, longest of those that follow", found.following * 1000, 50, "ms", remark=f"{found.pulls} pulls"),
        Figure(f"{what}, probes at once", found.probes, 1, "probes"),
    ]


async def _kill(*, is_quick: bool) -> list[Figure]:
    found = await kills.measured([8] if is_quick else [8, 32, 96], 1 if is_quick else 3)
    figures = []
    for link, megabytes in dict.fromkeys((each.link, each.megabytes) for each in found):
        factors = [each.upstream for each in found if (each.link, each.megabytes) == (link, megabytes)]
        remark = f"median {statistics.median(factors):.3f}x of {len(factors)}"
        figures.append(Figure(f"kill -9 in a fill, {megabytes} MB, {link}: bytes in all, worst", max(factors), 1.05, remark=remark))
    return figures


async def _lazy(*, is_quick: bool) -> list[Figure]:
    found = await lazy.measured(6 if is_quick else 62, 5.0 * _MB, 0.05, 1 if is_quick else 3)
    ratio = statistics.median(each.through / each.direct for each in found)
    return [Figure("stargz lazy pull of a cold 62 MB layer, 5 MB/s and 50 ms, over direct", ratio, 1.3)]


async def _start(*, is_quick: bool) -> list[Figure]:
    return [Figure("exec to the first answer", await asyncio.to_thread(starts.measured, 1 if is_quick else 9), 0.5, "s")]


async def _crowd(*, is_quick: bool) -> list[Figure]:
    figures = []
    for clients, megabytes, limit in ((100, 16, 1.02),) if is_quick else ((1000, 64, 1.02), (3000, 64, 1.1)):
        found = []
        for _ in range(1 if is_quick else 3):
            with tempfile.TemporaryDirectory() as root:
                found.append(await paced.measured(clients, os.urandom(megabytes * _MB), 16, Path(root)))
        ratio = Ratio.of([each.slowest / each.ideal for each in found])
        sent, memory = (max(each) for each in zip(*((each.upstream, each.memory) for each in found), strict=True))
        remark = f"{ratio.low:.2f} to {ratio.high:.2f}; {sent:.2f}x the bytes, {memory:.0f} MiB"
        what = f"{clients:,} clients, cold {megabytes} MB: slowest over nginx from a file"
        figures.append(Figure(what, ratio.median, limit, remark=remark))
    return figures


async def _store(*, is_quick: bool) -> list[Figure]:
    small, large = (100, 10_000) if is_quick else (100, 1_000_000)
    found, ratio = await asyncio.to_thread(store.in_turns, STORES, (small, large), 1 if is_quick else 2)
    counted = [each for each in found if each.blobs == large]
    compared, spent = (statistics.median(each) for each in zip(*((each.compared, each.cpu) for each in counted), strict=True))
    return [
        Figure(
            f"first hit of a blob with {large:,} stored over {small} stored",
            ratio.median,
            1.1,
            remark=f"{ratio.low:.2f} to {ratio.high:.2f}",
        ),
        Figure(f"stock of {large:,} taken in", compared, 15, "s", remark=f"{spent:.1f} s of processor time"),
    ]


async def _memory(*, is_quick: bool) -> list[Figure]:
    [found] = await slow.measured(["regproxy"], *((100, 6) if is_quick else (1000, 20)))
    return [
        Figure("memory of all processes, idle", found.before, 110, "MiB"),
        Figure("memory per 1,000 slow readers", (found.late - found.before) * 1000 / found.clients, 10, "MiB"),
    ]


async def _idle(*, is_quick: bool) -> list[Figure]:
    found = await idle.measured(2, 10) if is_quick else await idle.measured(12, 70)
    return [
        Figure("cache of a node, idle: resident after the start", found.started, 64, "MiB"),
        Figure("cache of a node, idle: resident after pulls of 436 MB", found.pulled, 64, "MiB"),
        Figure("cache of a node, idle: of a core", found.core * 100, 1, "%"),
    ]


async def _behind(*, is_quick: bool) -> list[Figure]:
    megabytes = 32 if is_quick else 256
    found = await behind.measured(megabytes, 5, 1 if is_quick else 2)
    speed = statistics.median(each.disk / each.lost for each in found)
    return [at_least(f"image of {megabytes} MB from SeaweedFS after the disk is lost, of the disk's speed", speed, 0.5)]


ROWS: Mapping[str, Row] = {
    "hits": _hits,
    "near": _near,
    "image": _image,
    "far": _far,
    "hang": _hang,
    "kill": _kill,
    "lazy": _lazy,
    "start": _start,
    "crowd": _crowd,
    "store": _store,
    "memory": _memory,
    "idle": _idle,
    "behind": _behind,
}
