"""What `bench.growth` measures: series, each of which lets one size grow. A point is what one size costs, by the name of the figure."""

import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import aiohttp

from bench import hits, misses, processes, replicas, starts, store
from bench.crowd import Asked, crowd
from bench.goal_rows import STORES
from bench.origin import NAME, image, pull
from bench.peers import Peer, Upstream, regproxy
from tests.fakes.registry import FakeRegistry

_MB = 1_000_000
_BLOB = 16 * _MB
_HERD = 300  # clients of all replicas

Point: TypeAlias = Mapping[str, float]


@dataclass(frozen=True)
class Series:
    """One that grows: what its sizes are, which are measured, which of them quickly, and what measures one of them."""

    title: str
    unit: str
    sizes: Sequence[int]
    quick: Sequence[int]
    measure: Callable[[int], Awaitable[Point]]


async def _crowded(asked: Asked, peers: Sequence[Peer]) -> Point:
    """Let a crowd ask; raise `RuntimeError` where a client did not get all of it."""
    before = sum(processes.cpu(each.pid) for each in peers)
    seen = await crowd(asked)
    spent = sum(processes.cpu(each.pid) for each in peers) - before
    if (right := sum(one.is_right for one in seen)) != asked.clients:
        raise RuntimeError(f"only {right} of {asked.clients} clients got all of it")
    return {"seconds until the last is done": max(one.last for one in seen), "s of CPU": spent}


async def _clients(clients: int) -> Point:
    """Let them all ask at once for a cold blob, from an upstream that sends as fast as it can."""
    body = os.urandom(_BLOB)
    with tempfile.TemporaryDirectory() as root:
        async with FakeRegistry("anonymous") as upstream:
            digest = upstream.add_blob(NAME, body)
            async with regproxy(Upstream(upstream.url), Path(root)) as peer:
                asked = Asked(peer.port, f"/v2/{NAME}/blobs/{digest}", str(digest), clients, seconds=600)
                point, memory = await _crowded(asked, [peer]), processes.peak(peer.pid)
            sent = upstream.sent_blob_bytes() / len(body)
    return {**point, "MiB of the largest process": memory, "times the blob": sent}


async def _blobs(size: int) -> Point:
    """Fetch one directly, then through regproxy when it is not there, and when it is."""
    served = image({"blob": size})
    path = served.paths()["blob"]
    with tempfile.TemporaryDirectory() as directory:
        async with hits.serving(served, Path(directory), {"regproxy": regproxy}) as peers:
            direct = [(await misses.fetched(peers["direct"].url(path)))[1] for _ in range(3)]
            cold = (await misses.fetched(peers["regproxy"].url(path)))[1]
            hot = [(await misses.fetched(peers["regproxy"].url(path)))[1] for _ in range(3)]
    return {"seconds cold": cold, "seconds hot": statistics.median(hot), "seconds directly": statistics.median(direct)}


async def _stores(blobs: int) -> Point:
    """Start over a store of so many blobs, which is made where there is none."""
    [found], _ = await asyncio.to_thread(store.in_turns, STORES, (blobs,), 1)
    return {
        "seconds until it serves": found.ready,
        "seconds until stock is taken": found.compared,
        "ms for a first hit": found.hit,
        "MiB of the largest process": found.memory,
    }


async def _layers(layers: int) -> Point:
    """Pull an image of so many layers of 1 MB as containerd does, a few at once."""
    served = image({str(number): _MB for number in range(layers)})
    with tempfile.TemporaryDirectory() as directory:
        async with hits.serving(served, Path(directory), {"regproxy": regproxy}) as peers:
            direct = await pull(peers["direct"], served)
            cold = await pull(peers["regproxy"], served)
            hot = await pull(peers["regproxy"], served)
    return {"seconds cold": cold, "seconds hot": hot, "seconds directly": direct}


async def _got(session: aiohttp.ClientSession, peer: Peer, path: str) -> None:
    async with session.get(peer.url(path)) as answer:
        answer.raise_for_status()
        await answer.read()


async def _upstreams(upstreams: int) -> Point:
    """Configure so many upstreams, and fetch a cold blob of 1 MB from each of them at once."""
    async with AsyncExitStack() as stack:
        registries = [await stack.enter_async_context(FakeRegistry("anonymous")) for _ in range(upstreams)]
        digests = [registry.add_blob(NAME, os.urandom(_MB)) for registry in registries]
        named = {f"registry-{number}.example": {"hosts": [{"url": each.url}]} for number, each in enumerate(registries)}
        root = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        nobody = Upstream("")
        started = statistics.median([await asyncio.to_thread(starts.started, root, upstreams=named) for _ in range(3)])
        peer = await stack.enter_async_context(regproxy(nobody, root, upstreams=named))
        memory = processes.memory(peer.pid)
        session = await stack.enter_async_context(aiohttp.ClientSession())
        began = time.perf_counter()
        paths = [f"/v2/{NAME}/blobs/{digest}?ns={name}" for name, digest in zip(named, digests, strict=True)]
        await asyncio.gather(*(_got(session, peer, path) for path in paths))
        cold = time.perf_counter() - began
    return {"seconds cold, all at once": cold, "seconds to the first answer": started, "MiB of all processes, idle": memory}


async def _replicas(count: int) -> Point:
    """Let a herd ask for a cold blob, spread over so many replicas, which are one fleet."""
    body = os.urandom(_BLOB)
    with tempfile.TemporaryDirectory() as root:
        async with FakeRegistry("password") as upstream:
            digest = upstream.add_blob(NAME, body)
            async with replicas.running(count, upstream, Path(root)) as peers:
                point = await _crowded(replicas.asked(peers, [(f"/v2/{NAME}/blobs/{digest}", str(digest))], _HERD), peers)
                memory = sum(processes.memory(each.pid) for each in peers)
            sent = upstream.sent_blob_bytes() / len(body)
    return {**point, "MiB of all processes": memory, "times the blob": sent}


SERIES: Mapping[str, Series] = {
    "clients": Series("Clients of one cold blob of 16 MB", "clients", (1, 3, 10, 30, 100, 300, 1000, 3000), (1, 10, 30), _clients),
    "blobs": Series(
        "Size of a blob", "bytes", (1_000, 10_000, 100_000, _MB, 10 * _MB, 100 * _MB, 1_000 * _MB), (1_000, 100_000, 10 * _MB), _blobs
    ),
    "stores": Series("Blobs in the store", "blobs", (100, 1_000, 10_000, 100_000, 1_000_000), (100, 1_000, 10_000), _stores),
    "layers": Series("Layers of 1 MB of an image", "layers", (1, 3, 10, 30, 60), (1, 3, 10), _layers),
    "upstreams": Series("Upstreams that are configured", "upstreams", (1, 3, 10, 30, 100), (1, 3, 10), _upstreams),
    "replicas": Series(f"Replicas with {_HERD} clients of one cold blob of 16 MB", "replicas", (1, 2, 3, 4), (1, 2), _replicas),
}
