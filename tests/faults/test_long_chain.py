"""The chain of a cluster: containerd, a node's cache, the cluster's cache, a registry with tokens. All nodes pull at once.

Each hop is killed in the middle, while the registry holds a layer back, and started anew. Clients try again, as containerd and kubelet do;
their pulls fail where that does not help.
"""

import asyncio
import hashlib
import json
import os
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from tests.fakes.deeds import Stall
from tests.fakes.entry import on
from tests.fakes.fleet import KEY, fleet
from tests.fakes.program import Program
from tests.fakes.registry import FakeRegistry
from tests.rig import LOOPBACK, PATIENT, rig

NAME = "library/app"
REGISTRY = "docker.io"
NODES, CLIENTS = 8, 4  # of each
LAYERS = [1_000_000, 300_000, 10_000]  # bytes
WITHIN = 300.0  # seconds for a pull with all its tries


@pytest.fixture
async def registry() -> AsyncIterator[FakeRegistry]:
    async with FakeRegistry("password") as made:
        made.add_image(NAME, "1", [os.urandom(size) for size in LAYERS])
        yield made


class Client:
    """A runtime that pulls an image through its node's cache, keeps the layers that it has, and tries again where a pull fails."""

    def __init__(self, port: int) -> None:
        self._url = f"http://{LOOPBACK}:{port}"
        self._kept: set[str] = set()
        self.has_all_but_one = asyncio.Event()
        self.failures = 0

    async def pull(self) -> None:
        """Return with all of it; raise `TimeoutError`, or `AssertionError` where a whole answer is wrong."""
        async with asyncio.timeout(WITHIN):
            while not await self._pulled():
                self.failures += 1
                await asyncio.sleep(0.1)

    async def _pulled(self) -> bool:
        unlimited = aiohttp.ClientTimeout(total=None)
        try:
            async with aiohttp.ClientSession(self._url, timeout=unlimited, raise_for_status=True) as session:
                async with session.head(f"/v2/{NAME}/manifests/1?ns={REGISTRY}") as answer:
                    digest = answer.headers["Docker-Content-Digest"]
                manifest = json.loads(await self._content(session, f"manifests/{digest}", digest))
                layers = [each["digest"] for each in (manifest["config"], *manifest["layers"])]
                missing = [each for each in layers if each not in self._kept]
                await asyncio.gather(*(self._layer(session, each) for each in missing))
                return True
        except (aiohttp.ClientError, OSError):
            return False

    async def _layer(self, session: aiohttp.ClientSession, digest: str) -> None:
        await self._content(session, f"blobs/{digest}", digest)
        self._kept.add(digest)
        if len(self._kept) == len(LAYERS):  # with the config
            self.has_all_but_one.set()

    async def _content(self, session: aiohttp.ClientSession, path: str, digest: str) -> bytes:
        async with session.get(f"/v2/{NAME}/{path}?ns={REGISTRY}") as answer:
            body = await answer.read()
        assert f"sha256:{hashlib.sha256(body).hexdigest()}" == digest, path
        return body


def _credentials(registry: FakeRegistry) -> dict[str, object]:
    secret = {"username": registry.username, "password": registry.password}
    return {REGISTRY: {"hosts": [{"url": registry.url, "credentials": secret}]}}


def _above(port: int) -> dict[str, object]:
    return {REGISTRY: {"hosts": [{"url": f"http://{LOOPBACK}:{port}", "kind": "cache"}]}}


def _asked(registry: FakeRegistry) -> tuple[int, int, float]:
    """Return how many tokens, manifests by tag, and times all blobs the registry was asked for."""
    tags = [each for each in registry.ledger if each.kind == "manifests" and each.reference == "1" and each.status == 200]
    held = sum(map(len, registry.repositories[NAME].blobs.values()))
    return len(registry.issued), len(tags), registry.sent_blob_bytes() / held


@pytest.mark.parametrize("is_peered", [False, True])
async def test_n17_07_all_nodes_at_once_are_one_client_of_the_registry(tmp_path: Path, registry: FakeRegistry, is_peered: bool) -> None:
    async with AsyncExitStack() as stack:
        made = rig(tmp_path / "cluster", _credentials(registry), timeouts=PATIENT, insecure_credentials=True)
        cluster = await stack.enter_async_context(made)
        (tmp_path / "nodes").mkdir()
        alone = {} if is_peered else {number: [number] for number in range(NODES)}
        nodes = await stack.enter_async_context(fleet(tmp_path / "nodes", _above(cluster.port), NODES, views=alone))
        clients = [Client(node.port) for node in nodes for _ in range(CLIENTS)]
        await asyncio.gather(*(each.pull() for each in clients))
        await asyncio.gather(*(each.settled() for each in (cluster, *nodes)))
        assert [each.failures for each in clients] == [0] * len(clients)
        assert _asked(registry) == (1, 1, 1.0)


class Chain:
    """Caches as programs of their own, each before the next one."""

    def __init__(self, root: Path, registry: FakeRegistry) -> None:
        self.registry = registry
        self.cluster = self._program(root / "cluster", _credentials(registry))
        self.nodes = [self._program(root / f"node{number}", _above(self.cluster.port)) for number in range(2)]

    @staticmethod
    def _program(root: Path, upstreams: dict[str, object]) -> Program:
        root.mkdir()
        return Program(root, upstreams, workers=1, timeouts=PATIENT, insecure_credentials=True)

    async def restart(self, hop: str) -> None:
        """Kill a hop, and start it anew on what it left."""
        if hop == "registry":
            await self.registry.stop()
            await self.registry.start()
            return
        program = self.cluster if hop == "cluster" else self.nodes[0]
        program.tell(signal.SIGKILL)
        assert program.process is not None
        await program.process.wait()
        await program.start()


@asynccontextmanager
async def _chain(root: Path, registry: FakeRegistry, peers: Sequence[int] = ()) -> AsyncIterator[Chain]:
    made = Chain(root, registry)
    if peers:
        known = [f"http://{LOOPBACK}:{made.nodes[each].port}" for each in peers]
        for each in made.nodes:
            each.settings["fleet"] = {"peers": known, "key": KEY, "timeout": "30s"}
    try:
        for each in (made.cluster, *made.nodes):
            await each.start()
        for each in (made.cluster, *made.nodes):
            await each.until(each.are_all_accepting)
        yield made
    finally:
        for each in (made.cluster, *made.nodes):
            if each.process is not None and each.process.returncode is None:
                each.process.kill()
                await each.process.wait()


@pytest.mark.parametrize(("hop", "is_peered"), [("node", True), ("cluster", False), ("cluster", True), ("registry", True)])
async def test_n17_07_a_hop_that_is_killed_in_the_middle_and_started_anew_fails_no_pull(
    tmp_path: Path, registry: FakeRegistry, hop: str, is_peered: bool
) -> None:
    """A node's cache is noticed by its own clients alone, and a registry by nobody; what the cluster's had not stored comes again."""
    digest = next(each for each, body in registry.repositories[NAME].blobs.items() if len(body) == LAYERS[0])
    stall = Stall(LAYERS[0] // 2)
    registry.misbehave(on("GET", str(digest)), stall, times=1)
    async with _chain(tmp_path, registry, (0, 1) if is_peered else ()) as chain:
        clients = [Client(node.port) for node in chain.nodes for _ in range(CLIENTS)]
        pulling = [asyncio.create_task(each.pull()) for each in clients]
        await stall.reached.wait()
        if hop == "registry":  # what was not begun is refused while there is none
            await asyncio.gather(*(each.has_all_but_one.wait() for each in clients))
        await chain.restart(hop)
        stall.event.set()
        await asyncio.gather(*pulling)
    tokens, tags, sent = _asked(registry)
    if hop == "cluster":
        assert max(tokens, tags) <= 2
        assert sent <= 2.0
    else:
        assert (tokens, tags, sent) == (1, 1, 1.0)
        noticed = CLIENTS if hop == "node" else 0
        assert [each.failures for each in clients[noticed:]] == [0] * (len(clients) - noticed)
