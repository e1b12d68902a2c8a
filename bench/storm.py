"""A mass restart: `python -m bench.storm [--nodes 600] [--images 5] [--peer docker-registry|drayage] [--access ACCESS] [--keep]`.

Nodes pull private images as containerd does, HEAD and GET of the manifest, then config and layers at once, each node in an order of its
own. Upstream has a slow token service. Prints what upstream was asked, how many pulls failed, and how long it took; `--keep` adds it to
bench/results/storm.jsonl, which bench.storm_report makes a table and a plot of.
"""

import argparse
import asyncio
import base64
import hashlib
import json
import multiprocessing
import os
import random
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import aiohttp

from bench.caches import CACHES
from bench.peers import RESULTS, Upstream
from regproxy.oci.manifest import ACCEPT
from tests.fakes.deeds import Delay
from tests.fakes.registry import FakeRegistry
from tests.rig import LOOPBACK

_LAYERS = 3
_TOKEN_DELAY = 0.5  # seconds; Docker Hub's takes 0.2 to 0.8 from afar


@dataclass(frozen=True)
class Image:
    """What a node pulls: a repository's tag and all that hangs on it."""

    name: str
    manifest: str
    blobs: tuple[str, ...]


@dataclass(frozen=True)
class Cost:
    """What a storm cost upstream, and what it was to the nodes."""

    tokens: int
    unauthorized: int
    manifest_heads: int
    manifest_gets: int
    blob_gets: int
    failures: tuple[str, ...]
    seconds: float = 0.0

    def __str__(self) -> str:
        upstream = f"{self.tokens} tokens, {self.unauthorized} x 401, manifests {self.manifest_heads} HEAD {self.manifest_gets} GET"
        reasons = "".join(f"\n  {count} x {reason}" for reason, count in Counter(self.failures).most_common(3))
        return f"{upstream}, {self.blob_gets} blobs; {len(self.failures)} failed pulls, {self.seconds:.1f} s{reasons}"


def shelved(upstream: FakeRegistry, images: int, size: int) -> list[Image]:
    """Put private images into the upstream, each in a repository of its own, layers of *size* bytes."""
    found = []
    for number in range(images):
        name = f"team/app{number}"
        manifest = upstream.add_image(name, "1", [os.urandom(size) for _ in range(_LAYERS)])
        blobs = tuple(str(digest) for digest in upstream.repositories[name].blobs)
        found.append(Image(name, str(manifest.digest), blobs))
    return found


async def storm(ports: Sequence[int], images: Sequence[Image], nodes: int, seed: int = 0, shown: Sequence[str] = ()) -> list[str]:
    """Let *nodes* pull all images at once, spread over *ports*, each with one of the `Authorization` *shown*; tell why pulls failed."""
    chance = random.Random(seed)
    orders = [chance.sample(images, len(images)) for _ in range(nodes)]
    limits = aiohttp.ClientTimeout(total=600)
    headers = {"Accept": ACCEPT}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=limits, headers=headers) as session:
        own = [{"Authorization": shown[number % len(shown)]} if shown else {} for number in range(nodes)]
        pulling = (_node(session, ports[number % len(ports)], order, number, own[number]) for number, order in enumerate(orders))
        return [failure for failures in await asyncio.gather(*pulling) for failure in failures]


def cost(upstream: FakeRegistry, failures: Sequence[str], seconds: float = 0.0) -> Cost:
    """Read from the ledger what upstream was asked."""
    answered = [entry for entry in upstream.ledger if entry.status != 401]
    asked = Counter((entry.method, entry.kind) for entry in answered)
    heads, gets, blobs = asked["HEAD", "manifests"], asked["GET", "manifests"], asked["GET", "blobs"]
    return Cost(len(upstream.issued), len(upstream.ledger) - len(answered), heads, gets, blobs, tuple(failures), seconds)


async def _node(session: aiohttp.ClientSession, port: int, images: Sequence[Image], number: int, own: Mapping[str, str]) -> list[str]:
    chance, failures = random.Random(number), []
    for image in images:
        try:
            await _pull(session, f"http://{LOOPBACK}:{port}/v2/{image.name}", image, chance, own)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            failures.append(getattr(error, "message", "") or type(error).__name__)
    return failures


async def _pull(session: aiohttp.ClientSession, url: str, image: Image, chance: random.Random, own: Mapping[str, str]) -> None:
    """Pull one image and check every byte; raise where anything is wrong."""
    async with session.head(f"{url}/manifests/1", headers=own) as response:
        response.raise_for_status()
    await _fetch(session, f"{url}/manifests/{image.manifest}", image.manifest, own)
    await asyncio.gather(*(_fetch(session, f"{url}/blobs/{blob}", blob, own) for blob in chance.sample(image.blobs, len(image.blobs))))


async def _fetch(session: aiohttp.ClientSession, url: str, digest: str, own: Mapping[str, str]) -> None:
    found = hashlib.sha256()
    async with session.get(url, headers=own) as response:
        response.raise_for_status()
        async for chunk in response.content.iter_any():
            found.update(chunk)
    if f"sha256:{found.hexdigest()}" != digest:
        raise ValueError(f"{url} is not what it should be")


def secrets_of(upstream: FakeRegistry, access: str, nodes: int) -> list[str]:
    """List what nodes show where upstream wants *access*: nothing, one pull secret, or one for each node, as ECR gives them."""
    if access == "shared":
        return []
    pairs = [f"{upstream.username}:{upstream.password}"]
    pairs += [f"node-{number}:canary of {number}" for number in range(1, nodes)] if access == "distinct" else []
    found = [base64.b64encode(pair.encode()).decode() for pair in pairs]
    upstream.others |= set(found)
    return [f"Basic {each}" for each in found]


async def _measure(peer: str, nodes: int, images: int, size: int, root: Path, access: str) -> Cost:
    async with FakeRegistry("password") as upstream:
        wanted = shelved(upstream, images, size)
        upstream.misbehave("/token", Delay(_TOKEN_DELAY))
        stood_before = Upstream(upstream.url, upstream.username, upstream.password)
        shown = secrets_of(upstream, access, nodes)
        proven = {"upstreams": {"docker.io": {"hosts": [{"url": upstream.url}], "access": "proven"}}, "insecure_credentials": True}
        start = partial(CACHES[peer].start, **proven) if shown else CACHES[peer].start
        async with start(stood_before, root) as running:
            began = time.perf_counter()
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as apart:  # else the nodes would starve the upstream
                failures = await asyncio.get_running_loop().run_in_executor(apart, _stormed, running.port, wanted, nodes, shown)
            return cost(upstream, failures, time.perf_counter() - began)


def _stormed(port: int, images: Sequence[Image], nodes: int, shown: Sequence[str]) -> list[str]:
    return asyncio.run(storm([port], images, nodes, shown=shown))


def main() -> None:
    """Parse the arguments and measure once."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=600)
    parser.add_argument("--images", type=int, default=5)
    parser.add_argument("--kilobytes", type=int, default=100, help="size of a layer")
    parser.add_argument("--peer", choices=[name for name, cache in CACHES.items() if cache.gets_tokens], default="regproxy")
    parser.add_argument(
        "--access", choices=["shared", "proven", "distinct"], default="shared", help="proven, with one secret or one for each node"
    )
    parser.add_argument("--keep", action="store_true", help="add the result to bench/results/storm.jsonl")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as root:
        found = asyncio.run(
            _measure(arguments.peer, arguments.nodes, arguments.images, arguments.kilobytes * 1000, Path(root), arguments.access)
        )
    print(f"{arguments.peer}, {arguments.access}, {arguments.nodes} nodes x {arguments.images} images: {found}")
    if arguments.keep:
        asked = {
            "peer": arguments.peer,
            **({"access": arguments.access} if arguments.access != "shared" else {}),
            "nodes": arguments.nodes,
            "images": arguments.images,
        }
        row = {**asked, **asdict(found), "failures": len(found.failures)}
        with (RESULTS / "storm.jsonl").open("a") as kept:
            kept.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
