"""Node caches before a cluster's cache, and members among them that send wrong bytes from the start: no client sees any of it."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pytest

from regproxy.fleet.signing import HashSigner
from regproxy.oci.digest import Digest
from regproxy.oci.reference import Repository
from regproxy.peers.names import Blob, PieceName
from regproxy.peers.pieces.cache import PieceCache
from regproxy.policy.fleet.cut import piece_at
from regproxy.policy.fleet.ring import Ring, start
from regproxy.policy.fleet.signed_hash import LENGTH, Part
from regproxy.telemetry import metrics
from tests.fakes.deeds import Hold, Paced, Status
from tests.fakes.fleet import fleet
from tests.fakes.member import Asked, Member
from tests.fakes.registry import FakeRegistry
from tests.rig import LOOPBACK, PATIENT, Rig, rig

NAME = "library/app"
MIB = 1024 * 1024
SIZE = 20 * MIB + 12345  # more than is held back of members that nothing is known of


@dataclass
class Nodes:
    """A cluster's cache, and node caches before it."""

    upstream: FakeRegistry
    cluster: Rig
    nodes: list[Rig]

    async def pulled(self, blob: bytes) -> None:
        """Pull by all nodes at once, and look at every byte of what comes at the first try."""
        digest = Digest.of(blob)
        answers = await asyncio.gather(*(each.ask(f"/v2/{NAME}/blobs/{digest}") for each in self.nodes))
        assert [(each.status, each.is_whole, each.body == blob) for each in answers] == [(200, True, True)] * len(answers)
        await asyncio.gather(*(each.settled() for each in [*self.nodes, self.cluster]))


def below(cache: str) -> dict[str, object]:
    """Have the cache at that URL as the only host."""
    return {"docker.io": {"hosts": [{"url": cache, "kind": "cache"}]}}


@asynccontextmanager
async def nodes(root: Path, *others: Member, count: int = 3, more: Sequence[str] = (), **timeouts: str) -> AsyncIterator[Nodes]:
    async with (
        FakeRegistry() as upstream,
        rig(root / "cluster", {"docker.io": upstream.url}, timeouts=PATIENT) as cluster,
        fleet(
            root,
            below(f"http://{LOOPBACK}:{cluster.port}"),
            count,
            more=[*more, *(each.url for each in others)],
            timeouts={**PATIENT, **timeouts},
        ) as rigs,
    ):
        yield Nodes(upstream, cluster, rigs)


def corrupt(caplog: pytest.LogCaptureFixture) -> set[str]:
    """Name the members that were said to have sent wrong bytes."""
    return {vars(each)["fields"]["member"] for each in caplog.records if each.message == "a member of the fleet sent wrong bytes"}


def zeros(asked: Asked, size: int) -> bytes:
    return asked.bytes_of(bytes(size))


@pytest.mark.parametrize(
    "answered",
    [
        pytest.param(zeros, id="zeros"),
        pytest.param(lambda asked, size: asked.bytes_of(bytes(size - 2 * MIB)), id="shorter"),
        pytest.param(lambda asked, size: asked.bytes_of(bytes(size + MIB)), id="longer"),
    ],
)
async def test_n17_13_a_member_that_lies_from_the_start_fails_no_pull(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, answered: Callable[[Asked, int], bytes]
) -> None:
    async with Member(lambda asked: answered(asked, SIZE)) as liar, nodes(tmp_path, liar) as found:
        blob = os.urandom(SIZE)
        found.upstream.add_blob(NAME, blob)
        await found.pulled(blob)
        assert liar.asked
        assert found.upstream.sent_blob_bytes() == SIZE
    assert corrupt(caplog) == {liar.url}


@pytest.mark.parametrize("more", [MIB, -2 * MIB])
async def test_n17_13_a_member_that_says_another_size_and_breaks_off_leaves_the_others_a_fleet(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, more: int
) -> None:
    async with (
        Member(lambda asked: asked.bytes_of(bytes(SIZE + more))[: -MIB // 2], hangs_up=True) as liar,
        nodes(tmp_path, liar) as found,
    ):
        blob = os.urandom(SIZE)
        found.upstream.add_blob(NAME, blob)
        await found.pulled(blob)
        assert liar.asked
    assert [vars(each)["fields"] for each in caplog.records if each.message == "the fleet does not bring a blob"] == []


async def test_n17_13_members_pass_on_what_the_cluster_has_said_of_a_piece(tmp_path: Path) -> None:
    async with nodes(tmp_path) as found:
        blob = os.urandom(SIZE)
        found.upstream.add_blob(NAME, blob)
        before = stated()
        await found.pulled(blob)
        pieces = -(-SIZE // MIB)
        assert pieces <= stated() - before < 2 * pieces  # more than once where a node does not know yet who signs
        second = os.urandom(SIZE)
        found.upstream.add_blob(NAME, second)
        before = stated()
        await found.pulled(second)
        assert stated() - before == pieces


def stated() -> float:
    """Count how often a cache was asked what a part is."""
    samples = [sample for metric in metrics.REQUESTS.collect() for sample in metric.samples]
    return sum(each.value for each in samples if each.name.endswith("_total") and each.labels["endpoint"] == "hashes")


@pytest.mark.parametrize("word", [b"\0", b"\1", b"\2", b"\3"])
async def test_n17_13_what_a_member_says_of_its_lies_counts_for_nothing(tmp_path: Path, word: bytes) -> None:
    """It has a signature of its own, takes its bytes back each time, or says nothing."""
    stranger = HashSigner("canary-stranger-0123456789abcdef", "docker.io")
    digests = list[Digest]()

    def answered(asked: Asked) -> bytes:
        begin, end = asked.start // MIB * MIB, min(asked.start // MIB * MIB + MIB, SIZE)
        signed = stranger.signed(Part(digests[0], SIZE, begin, end), sha256(bytes(end - begin)).digest())
        return asked.bytes_of(bytes(SIZE), trailer=word + (signed.encode() if word == b"\1" else bytes(LENGTH)))

    async with Member(answered) as liar, nodes(tmp_path, liar) as found:
        blob = os.urandom(SIZE)
        digests.append(found.upstream.add_blob(NAME, blob))
        await found.pulled(blob)
        assert liar.asked
        assert found.upstream.sent_blob_bytes() == SIZE


async def test_n17_13_nobody_believes_a_member_that_has_bytes_before_the_cluster(tmp_path: Path) -> None:
    """While upstream is silent the cluster's cache cannot say what is right, and says that."""
    async with Member(lambda asked: zeros(asked, SIZE)) as liar, nodes(tmp_path, liar) as found:
        ring = Ring([liar.url, *(f"http://{LOOPBACK}:{each.port}" for each in found.nodes)], liar.url)
        bodies = iter(lambda: os.urandom(SIZE), b"")
        blob = next(body for body in bodies if ring.at(start(str(Digest.of(body)), 0), 0) == liar.url)
        found.upstream.add_blob(NAME, blob)
        found.upstream.misbehave("/blobs/", held := Hold())
        pulling = asyncio.create_task(found.pulled(blob))
        before = stated()
        async with asyncio.timeout(100):
            while not liar.asked or stated() == before:  # noqa: ASYNC110 -- nobody tells
                await asyncio.sleep(0.01)
        assert not pulling.done()
        held.event.set()
        await pulling
        assert found.upstream.sent_blob_bytes() == SIZE


async def test_n17_13_a_piece_that_takes_longer_than_a_client_waits_for_a_byte_fails_no_pull(tmp_path: Path) -> None:
    """On a slow line pieces come late, for nothing of one is passed on before it is checked; but they come."""
    async with nodes(tmp_path, count=2, progress="5s") as found:
        blob = os.urandom(2 * MIB)
        found.upstream.add_blob(NAME, blob)
        found.upstream.misbehave("/blobs/", Paced(MIB / 8))
        await found.pulled(blob)
        assert found.upstream.sent_blob_bytes() == len(blob)


async def test_n17_13_members_go_on_without_the_cluster_once_one_of_them_has_a_blob(tmp_path: Path) -> None:
    async with FakeRegistry() as cache, fleet(tmp_path, below(cache.url)) as rigs:
        blob = os.urandom(SIZE)
        digest = cache.add_blob(NAME, blob)
        for each in rigs:
            answer = await each.ask(f"/v2/{NAME}/blobs/{digest}")
            assert (answer.status, answer.body == blob) == (200, True)
            await each.settled()
            cache.misbehave("/", Status(500))


async def test_n17_13_a_cache_that_states_nothing_costs_no_pull(tmp_path: Path) -> None:
    """As one of an earlier version, or of another make."""
    async with FakeRegistry() as cache, fleet(tmp_path, below(cache.url)) as rigs:
        blob = os.urandom(SIZE)
        digest = cache.add_blob(NAME, blob)
        answers = await asyncio.gather(*(each.ask(f"/v2/{NAME}/blobs/{digest}") for each in rigs))
        assert [(each.status, each.body == blob) for each in answers] == [(200, True)] * len(rigs)
        await asyncio.gather(*(each.settled() for each in rigs))
        assert cache.sent_blob_bytes() == SIZE
        assert sum("/_regproxy/hashes/" in each.path for each in cache.ledger) <= 2 * len(rigs)


@pytest.mark.parametrize("lives", [False, True])
async def test_n17_13_what_another_worker_has_left_wrong_is_not_read_again_and_again(tmp_path: Path, lives: bool) -> None:
    """It was killed, or stands still, between the last byte of a wrong piece and the check."""
    async with nodes(tmp_path, count=1, more=["http://127.0.0.1:1"]) as found:
        blob = os.urandom(3 * MIB)
        digest = found.upstream.add_blob(NAME, blob)
        await found.cluster.ask(f"/v2/{NAME}/blobs/{digest}")
        await found.cluster.settled()
        other = PieceCache(tmp_path / "0" / "store" / "pieces", 10 * MIB, 600.0)
        file = other.open(PieceName(Blob(Repository("docker.io", NAME), digest), piece_at(0)))
        file.begin(len(blob), MIB)
        file.write(0, bytes(1000))
        before, pulling = stated(), asyncio.create_task(found.pulled(blob))
        members = found.nodes[0].proxy.handlers.members
        assert members is not None
        async with asyncio.timeout(60):
            while not any(each.written == 1000 for each in members.exchange._pieces.values()):  # noqa: ASYNC110 -- nobody tells
                await asyncio.sleep(0.01)
            file.write(1000, bytes(MIB - 1000))
            if not lives:
                file.close()
            await pulling
        assert stated() - before < 20
        file.close()
