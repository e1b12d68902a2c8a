"""What every adapter of the port Fleet promises to two that share it."""

import asyncio
import itertools
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass

import pytest

from regproxy.fleet.memory import NullFleet, SharedFleet
from regproxy.fleet.redis_fleet import RedisFleet
from regproxy.fleet.rpc import SupervisorClient, SupervisorServer
from regproxy.oci.descriptor import Descriptor
from regproxy.oci.digest import Digest
from regproxy.oci.reference import Reference, Repository, Tag
from regproxy.peers.replicas import MemberFleet
from regproxy.policy.clients.proof import Finding, Proof
from regproxy.policy.credential import Secret
from regproxy.policy.freshness import Denied, Missing, TagAnswer, TagRecord
from regproxy.policy.tag_history import PastMeaning
from regproxy.policy.upstream.tokens import Token
from regproxy.ports import Fleet
from tests.fakes.members import members
from tests.fleet.redis_server import RedisServer

NOW = 1_785_585_600.0
LONG = 30.0  # seconds for a call of Redis: how quickly it answers is not asked here
KEY, OTHER_KEY = Secret("docker.io canary-password"), Secret("docker.io other")
TOKENS = [Token(Secret(f"canary-token-{number}"), NOW + 100, NOW + 40_000 + number) for number in range(2)]
BY_TAG = Reference(Repository("docker.io", "library/app"), Tag("1"))
BY_DIGEST = Reference(Repository("localhost:5000", "a/b"), Digest.of(b"x"))
ANSWERS: list[TagAnswer] = [
    TagRecord(Descriptor("application/vnd.oci.image.index.v1+json", Digest.of(b""), 0), NOW),
    Missing("docker.io has no such tag", NOW + 1),
    Denied("docker.io answered 451", NOW + 2, 451, "DENIED"),
]
numbers = itertools.count()


@dataclass
class Pair:
    """Two that share a fleet: another one for each test, whatever is behind it."""

    one: Fleet
    other: Fleet
    shares_values: bool = True
    shares_locks: bool = True
    shares_histories: bool = False  # workers of one machine have the same index
    shares_proofs: bool = True

    def __post_init__(self) -> None:
        self.work = f"work {next(numbers)}"

    async def written(self) -> None:
        """Wait for what is put behind the answer; a lock comes after it."""
        for each in (self.one, self.other):
            if isinstance(each, RedisFleet):
                await each.connection.settled()
            if isinstance(each, MemberFleet):
                await each.settled()
            async with each.lock(f"{self.work} is written"):
                pass


@asynccontextmanager
async def _nobody(_: RedisServer) -> AsyncIterator[Pair]:
    yield Pair(NullFleet(), NullFleet(), shares_values=False, shares_locks=False)


@asynccontextmanager
async def _one_process(_: RedisServer) -> AsyncIterator[Pair]:
    fleet = SharedFleet(NullFleet())
    yield Pair(fleet, fleet)


@asynccontextmanager
async def _workers(_: RedisServer) -> AsyncIterator[Pair]:
    fleet, servers, clients = SharedFleet(NullFleet()), list[asyncio.Task[None]](), list[SupervisorClient]()
    for _worker in range(2):
        ours, theirs = socket.socketpair()
        servers.append(asyncio.create_task(SupervisorServer(fleet, lambda _report: None).serve(ours)))
        clients.append(await SupervisorClient.connected(theirs))
    one, other = clients
    yield Pair(one, other)
    for client in clients:
        await client.close()
    await asyncio.gather(*servers)


@asynccontextmanager
async def _plain_redis(server: RedisServer) -> AsyncIterator[Pair]:
    one, other = (RedisFleet(server.url, None, lambda: NOW, LONG) for _ in range(2))
    yield Pair(one, other, shares_values=False)


@asynccontextmanager
async def _encrypted_redis(server: RedisServer) -> AsyncIterator[Pair]:
    key = f"canary-key-{next(numbers):053}"
    one, other = (RedisFleet(server.url, key, lambda: NOW, LONG) for _ in range(2))
    yield Pair(one, other, shares_histories=True)


@asynccontextmanager
async def _members(_: RedisServer) -> AsyncIterator[Pair]:
    async with members(clock=lambda: NOW) as (one, other):
        yield Pair(one.fleet, other.fleet, shares_histories=True, shares_proofs=False)


ADAPTERS = {
    "nobody": _nobody,
    "one process": _one_process,
    "workers": _workers,
    "Redis without a key": _plain_redis,
    "Redis with a key": _encrypted_redis,
    "members of a fleet": _members,
}


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(params=ADAPTERS.values(), ids=list(ADAPTERS))
async def pair(request: pytest.FixtureRequest, redis: RedisServer) -> AsyncIterator[Pair]:
    async with AsyncExitStack() as stack:
        found: Pair = await stack.enter_async_context(request.param(redis))
        for each in (found.one, found.other):
            stack.push_async_callback(each.close)
        yield found


async def test_what_one_puts_the_other_finds_or_nothing(pair: Pair) -> None:
    assert [await pair.other.token(KEY), await pair.other.tag(BY_TAG)] == [None, None]
    pair.one.put_token(KEY, TOKENS[0])
    pair.one.put_tag(BY_TAG, ANSWERS[0])
    pair.one.put_tag(BY_DIGEST, ANSWERS[1])
    await pair.written()
    found = [await pair.other.token(KEY), await pair.other.tag(BY_TAG), await pair.other.tag(BY_DIGEST)]
    assert found == ([TOKENS[0], *ANSWERS[:2]] if pair.shares_values else [None] * 3)


async def test_n18_07_what_one_has_seen_a_tag_mean_the_other_knows_or_has_beside_it(pair: Pair) -> None:
    history = (PastMeaning(Digest.of(b"a"), NOW - 1.25), PastMeaning(None, NOW), PastMeaning(Digest.of(b"b", "sha512"), NOW + 0.1))
    assert await pair.other.history(BY_TAG) == ()
    pair.one.put_history(BY_TAG, history)
    await pair.written()
    assert await pair.other.history(BY_TAG) == (history if pair.shares_histories else ())


async def test_n18_07_workers_know_what_other_replicas_have_seen(redis: RedisServer) -> None:
    history = (PastMeaning(Digest.of(b"a"), NOW),)
    key = f"canary-key-{next(numbers):053}"
    async with AsyncExitStack() as stack:
        one, other = (RedisFleet(redis.url, key, lambda: NOW, LONG) for _ in range(2))
        stack.push_async_callback(other.close)
        shared = SharedFleet(one)
        stack.push_async_callback(shared.close)
        ours, theirs = socket.socketpair()
        serving = asyncio.create_task(SupervisorServer(shared, lambda _report: None).serve(ours))
        worker = await SupervisorClient.connected(theirs)
        worker.put_history(BY_TAG, history)
        assert await worker.history(BY_DIGEST) == ()
        await one.connection.settled()
        assert await other.history(BY_TAG) == history == await worker.history(BY_TAG)
        await worker.close()
        await serving


async def test_n16_03_an_ended_proof_is_told_to_those_beyond_this_machine(pair: Pair) -> None:
    counts = []
    for _ in range(2):
        await pair.written()
        counts.append(await pair.other.end_count())
        pair.one.end_proofs()
    assert counts == [None, None] or (counts[0] is not None and counts[1] == counts[0] + 1)


async def test_what_is_put_last_is_found(pair: Pair) -> None:
    for token, by in zip(TOKENS, (pair.one, pair.other), strict=True):
        by.put_token(KEY, token)
        await pair.written()
        assert await pair.one.token(KEY) == await pair.other.token(KEY) == (token if pair.shares_values else None)
    for answer in ANSWERS:
        pair.other.put_tag(BY_TAG, answer)
        await pair.written()
        assert await pair.one.tag(BY_TAG) == (answer if pair.shares_values else None)


async def test_what_was_put_under_another_name_is_not_found(pair: Pair) -> None:
    pair.one.put_token(KEY, TOKENS[0])
    pair.one.put_tag(BY_TAG, ANSWERS[0])
    await pair.written()
    assert [await pair.other.token(OTHER_KEY), await pair.other.tag(BY_DIGEST)] == [None, None]


async def test_a_lock_has_one_holder_and_its_waiter_goes_on_when_it_ends(pair: Pair) -> None:
    order: list[str] = []
    reached = asyncio.Event()

    async def wait() -> None:
        async with pair.other.lock(pair.work):
            order.append("other")
            reached.set()

    async with pair.one.lock(pair.work):
        waiting = asyncio.create_task(wait())
        async with pair.other.lock(f"{pair.work} of another name"):
            pass
        if not pair.shares_locks:
            await reached.wait()
        order.append("one")
    await waiting
    assert order == (["one", "other"] if pair.shares_locks else ["other", "one"])


@pytest.mark.parametrize("end", [ValueError, asyncio.CancelledError], ids=["an error", "cancelled"])
async def test_a_lock_ends_with_its_holder_however_that_ends(pair: Pair, end: type[BaseException]) -> None:
    with suppress(end):
        async with pair.one.lock(pair.work):
            raise end
    for each in (pair.other, pair.one):
        async with asyncio.timeout(300), each.lock(pair.work):
            pass


async def test_n16_03_what_was_asked_later_counts_of_two_proofs(pair: Pair) -> None:
    """Whoever looks after the return of `put_proof` finds it, and an end is not undone by an answer that was asked for before it."""
    allowed, ended = Proof(NOW - 20, Finding.ALLOWED, "manifest 1"), Proof(NOW - 10, Finding.ENDED, reason="it was refused")
    assert await pair.other.proof("a key") is None
    await pair.one.put_proof("a key", allowed)
    assert await pair.other.proof("a key") == (allowed if pair.shares_values and pair.shares_proofs else None)
    await pair.other.put_proof("a key", ended)
    assert await pair.one.proof("a key") == (ended if pair.shares_values and pair.shares_proofs else None)


CLAIMS = {"Redis with a key": f"canary-key-{next(numbers):053}", "Redis without a key": None}


@pytest.mark.parametrize("key", CLAIMS.values(), ids=list(CLAIMS))
async def test_n18_29_of_replicas_one_does_what_is_claimed_and_without_redis_each(redis: RedisServer, key: str | None) -> None:
    one, other = (SharedFleet(RedisFleet(redis.url, key, lambda: NOW, LONG)) for _ in range(2))
    work = f"work {next(numbers)}"
    assert sorted(await asyncio.gather(*(each.claim(work, 60.0) for each in (one, other, one, other)))) == [False, False, False, True]
    assert await other.claim(f"{work} of another time", 60.0)
    unreachable = RedisFleet("redis://127.0.0.1:1", key, lambda: NOW)
    assert [await each.claim(work, 60.0) for each in (unreachable, unreachable, NullFleet())] == [True] * 3
    for each in (one, other, unreachable):
        await each.close()


async def test_n18_29_of_members_of_a_fleet_one_does_what_is_claimed() -> None:
    work = f"work {next(numbers)}"
    async with members(3) as found:
        fleets = [SharedFleet(each.fleet) for each in (*found, *found)]
        assert sorted(await asyncio.gather(*(each.claim(work, 60.0) for each in fleets))) == [*[False] * 5, True]
