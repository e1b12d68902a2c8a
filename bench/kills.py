"""kill -9 in the middle of a download: `python -m bench.kills [--kills 4] [--megabytes 8 32 96]`.

All processes at once, at a random moment; then regproxy is started again, and the client asks again. What upstream sent in all, in times
the blob: what had arrived before is to be used, also what was ahead of its turn. Near: one connection does; far: several are opened.
"""

import argparse
import asyncio
import os
import random
import signal
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from bench import processes
from bench.peers import Peer, Upstream, regproxy
from regproxy.oci.digest import Digest
from tests.fakes.deeds import Deed, Delay, Delivered
from tests.fakes.entry import on
from tests.fakes.registry import FakeRegistry
from tests.fakes.wire import Wire

_MB = 1_000_000
_NAME = "library/app"
_PIECE = 64 * 1024


class _Line(Delivered):
    """Send the body at a rate, and so little at a time that next to nothing is on its way when somebody is killed."""

    def __init__(self, rate: float) -> None:
        self._rate = rate

    async def send(self, wire: Wire, body: bytes) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        for start in range(0, len(body), _PIECE):
            await wire.body(body[start : start + _PIECE])
            due = max(due, loop.time() - _PIECE / self._rate) + _PIECE / self._rate
            await asyncio.sleep(max(due - loop.time(), 0.0))


_LINKS: Mapping[str, Sequence[Deed]] = {"near": (_Line(40 * _MB),), "far": (Delay(0.16), _Line(8 * _MB))}


@dataclass(frozen=True)
class Kill:
    """One kill: the link, the size, when it was as a share of an undisturbed download, and times the blob that upstream sent in all."""

    link: str
    megabytes: int
    moment: float
    upstream: float


async def _fetch(peer: Peer, digest: Digest) -> float:
    """Fetch the blob; return how many seconds that took, or raise `aiohttp.ClientError`."""
    began, received = time.perf_counter(), 0
    async with aiohttp.ClientSession() as session, session.get(peer.url(f"/v2/{_NAME}/blobs/{digest}")) as answer:
        answer.raise_for_status()
        async for chunk in answer.content.iter_any():
            received += len(chunk)
        if received != answer.content_length:
            raise RuntimeError(f"{received} bytes of {answer.content_length}")
    return time.perf_counter() - began


async def _undisturbed(link: str, body: bytes) -> float:
    async with FakeRegistry() as upstream:
        digest = upstream.add_blob(_NAME, body)
        upstream.misbehave(on("GET", "/blobs/"), *_LINKS[link])
        with tempfile.TemporaryDirectory() as root:
            async with regproxy(Upstream(upstream.url), Path(root)) as peer:
                return await _fetch(peer, digest)


async def _killed(link: str, body: bytes, after: float) -> float:
    """Kill once, and return how many times the blob upstream has sent in the end."""
    async with FakeRegistry() as upstream:
        digest = upstream.add_blob(_NAME, body)
        upstream.misbehave(on("GET", "/blobs/"), *_LINKS[link])
        with tempfile.TemporaryDirectory() as root:
            async with regproxy(Upstream(upstream.url), Path(root)) as peer:
                fetching = asyncio.create_task(_fetch(peer, digest))
                await asyncio.sleep(after)
                for pid in processes.tree(peer.pid):
                    with suppress(ProcessLookupError):  # workers end with their supervisor
                        os.kill(pid, signal.SIGKILL)
                await asyncio.gather(fetching, return_exceptions=True)
            async with regproxy(Upstream(upstream.url), Path(root)) as peer:
                await _fetch(peer, digest)
        return upstream.sent_blob_bytes() / len(body)


async def measured(sizes: Sequence[int], kills: int, seed: int | None = None) -> list[Kill]:
    """Kill so many times for each size and link, at moments spread over the whole download, each random within its share."""
    chance, found = random.Random(seed), []
    for megabytes in sizes:
        body = os.urandom(megabytes * _MB)
        for link in _LINKS:
            whole = await _undisturbed(link, body)
            for number in range(kills):
                moment = (number + chance.random()) / kills
                found.append(Kill(link, megabytes, moment, await _killed(link, body, moment * whole)))
                print(found[-1], flush=True)
    return found


def main() -> None:
    """Parse the arguments, measure, and print the worst of each size and link."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=4)
    parser.add_argument("--megabytes", type=int, nargs="+", default=[8, 32, 96])
    parser.add_argument("--seed", type=int)
    arguments = parser.parse_args()
    kills = asyncio.run(measured(arguments.megabytes, arguments.kills, arguments.seed))
    for key in dict.fromkeys((each.link, each.megabytes) for each in kills):
        print(f"{key[0]} {key[1]} MB: at most {max(each.upstream for each in kills if (each.link, each.megabytes) == key):.3f}x")


if __name__ == "__main__":
    main()
