"""What stays in an object store is read from what is signed there, each time anew."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from obstore.store import MemoryStore

from regproxy.behind import retention
from regproxy.behind.retention import Decisions, Retention, TooMuch
from regproxy.objects.bucket import Bucket
from regproxy.oci.digest import Digest
from regproxy.policy.fleet.decisions import newer
from regproxy.policy.freezing import Freeze
from regproxy.policy.store import objects
from regproxy.ports import StoreError
from tests.behind.replicas import Replica, replica_at
from tests.behind_kit import KEY, OTHER_KEY, signer

DIGESTS = [Digest.of(str(number).encode()) for number in range(5)]


@pytest.fixture
def remote() -> Bucket:
    memory = MemoryStore()
    return Bucket(memory, memory, "memory")


async def pin(remote: Bucket, digest: Digest, keys: str | None = None) -> None:
    path = objects.pin(digest)
    await remote.put(path, (signer(keys) if keys else signer()).signed(path, {"digest": str(digest)}))


async def test_n17_04_what_is_pinned_or_frozen_stays(remote: Bucket) -> None:
    await pin(remote, DIGESTS[0])
    path = objects.freeze("a:*")
    await remote.put(path, signer().signed(path, {"pattern": "a:*", "digest": str(DIGESTS[1])}))
    subject = Retention(remote, signer(), [Freeze("b:*", DIGESTS[2])])
    assert await subject.kept() == set(DIGESTS[:3])
    await remote.delete(objects.pin(DIGESTS[0]))
    assert await subject.kept() == set(DIGESTS[1:3]), "it is not remembered"


async def test_n17_04_what_somebody_else_signed_or_moved_keeps_nothing(remote: Bucket) -> None:
    await pin(remote, DIGESTS[0], OTHER_KEY)
    await remote.put(objects.pin(DIGESTS[1]), signer().signed(objects.pin(DIGESTS[2]), {"digest": str(DIGESTS[2])}))
    for name, document in (("a", {"pattern": 1, "digest": "x"}), ("b", {}), ("c", {"pattern": "c", "digest": None})):
        path = objects.freeze(name)
        await remote.put(path, signer().signed(path, document))
    await remote.put(f"{objects.FREEZES}stray", b"x")
    assert await Retention(remote, signer(), []).kept() == set()


async def test_n17_04_nothing_is_known_where_one_cannot_be_read(remote: Bucket) -> None:
    await pin(remote, DIGESTS[0])
    await remote.put(objects.pin(DIGESTS[1]), bytes(20_000))
    with pytest.raises(StoreError):
        await Retention(remote, signer(), []).kept()


async def test_n17_04_more_than_is_looked_at_is_said(remote: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "_MAX_KEPT", 3)
    for digest in DIGESTS:
        await pin(remote, digest)
    with pytest.raises(TooMuch):
        await Retention(remote, signer(), []).kept()


class Operator:
    """A replica whose operator decides."""

    def __init__(self, replica: Replica, remote: Bucket) -> None:
        self.replica = replica
        self.decisions = Decisions(replica.queue, remote, signer())

    async def adopt(self) -> list[str]:
        """Take over what others decided, and list what is decided here then."""
        await self.decisions.adopt()
        decided = await self.replica.index.ledger().decisions()
        return [*map(str, decided.pins), *(f"{each.pattern} {each.digest}" for each in decided.freezes)]

    async def pin(self, digest: Digest, *, pinned: bool = True) -> None:
        await self.replica.index.ledger().pin(digest, pinned=pinned)


@pytest.fixture
async def operators(tmp_path: Path, remote: Bucket) -> AsyncIterator[list[Operator]]:
    async with AsyncExitStack() as stack:
        yield [Operator(await stack.enter_async_context(replica_at(tmp_path / name, remote)), remote) for name in ("one", "two")]


async def test_n17_04_a_new_replica_takes_over_pins_and_freezes(operators: list[Operator]) -> None:
    one, two = operators
    await one.pin(DIGESTS[0])
    await one.replica.index.put_freeze(Freeze("docker.io/a:*", DIGESTS[1]))
    await one.replica.index.put_freeze(Freeze("docker.io/b:*", None))
    await one.replica.write()
    generation = two.replica.index.generation
    all_of_it = [str(DIGESTS[0]), f"docker.io/a:* {DIGESTS[1]}", "docker.io/b:* None"]
    assert await two.adopt() == all_of_it
    assert two.replica.index.generation != generation, "what was answered before is no longer valid"
    assert await two.replica.write() == [], "it is written there"
    assert await one.adopt() == all_of_it


async def test_n17_04_what_is_lifted_at_one_is_lifted_at_all(operators: list[Operator], remote: Bucket) -> None:
    one, two = operators
    await one.pin(DIGESTS[0])
    await one.replica.index.put_freeze(Freeze("docker.io/a:*", None))
    await one.replica.write()
    assert len(await two.adopt()) == 2
    two.replica.now += 1
    await two.pin(DIGESTS[0], pinned=False)
    await two.replica.index.drop_freeze("docker.io/a:*")
    assert await two.adopt() == [], "what was decided here and is yet to be written stands"
    await two.replica.write()
    assert await one.adopt() == []
    assert await Retention(remote, signer(), []).kept() == set()


async def test_n17_04_nothing_is_lifted_because_it_is_gone(operators: list[Operator], remote: Bucket) -> None:
    one, two = operators
    await one.pin(DIGESTS[0])
    await one.replica.write()
    assert len(await two.adopt()) == 1
    await remote.delete(objects.pin(DIGESTS[0]))
    assert len(await two.adopt()) == len(await one.adopt()) == 1


@pytest.mark.parametrize("keys", [OTHER_KEY, KEY], ids=["forged", "moved"])
async def test_n17_04_what_others_wrote_is_not_adopted(operators: list[Operator], remote: Bucket, keys: str) -> None:
    _, two = operators
    document = signer(keys).signed(objects.pin(DIGESTS[0]), {"digest": str(DIGESTS[0])})
    await remote.put(objects.pin(DIGESTS[0] if keys == OTHER_KEY else DIGESTS[1]), document)
    await remote.put(objects.pin(DIGESTS[2]), bytes(20_000))
    await remote.put(f"{objects.FREEZES}x", b"")
    assert await two.adopt() == []


async def test_n17_04_an_older_decision_that_is_put_back_is_not_adopted(operators: list[Operator], remote: Bucket) -> None:
    one, two = operators
    await one.pin(DIGESTS[0])
    await one.replica.write()
    older = await remote.get(objects.pin(DIGESTS[0]), 10_000)
    assert older is not None
    assert len(await two.adopt()) == 1
    one.replica.now += 1
    await one.pin(DIGESTS[0], pinned=False)
    await one.replica.write()
    assert await two.adopt() == []
    await remote.put(objects.pin(DIGESTS[0]), older)
    assert await two.adopt() == []


async def share(*operators: Operator) -> None:
    """Have members of a fleet tell each other what they know."""
    for here in operators:
        for there in operators:
            ours, theirs = here.replica.index.decisions(), there.replica.index.decisions()
            await ours.adopt(newer(await ours.all(), await theirs.all(), time.time_ns() // 1_000_000))


async def test_n17_14_members_that_have_an_object_store_too_do_not_decide_again_what_they_read_there(operators: list[Operator]) -> None:
    one, _ = operators
    await one.pin(DIGESTS[0])
    await one.replica.index.put_freeze(Freeze("docker.io/a:*", DIGESTS[1]))
    decided = await one.replica.index.decisions().all()
    for _ in range(3):
        for each in operators:
            each.replica.now += 60
            await each.replica.write()
        for each in operators:
            await each.adopt()
        await share(*operators)
        assert [await each.replica.index.decisions().all() for each in operators] == [decided] * 2
    assert [await each.replica.write() for each in operators] == [[], []], "and write it there no more"


async def test_n17_14_a_member_that_reads_an_older_decision_in_the_object_store_brings_it_back_nowhere(operators: list[Operator]) -> None:
    one, two = operators
    for each in operators:
        each.replica.now = time.time()
    await one.replica.index.put_freeze(Freeze("docker.io/a:*", None))
    await one.pin(DIGESTS[0])
    await one.replica.write()
    await asyncio.sleep(0.01)  # by the clock of the database
    await one.replica.index.drop_freeze("docker.io/a:*")
    await one.pin(DIGESTS[0], pinned=False)
    assert len(await two.adopt()) == 2, "the end is not written there yet"
    await share(*operators)
    assert [await each.adopt() for each in operators] == [[], []]
    await one.replica.write()
    await two.replica.write()
    assert [await each.adopt() for each in operators] == [[], []]


async def test_n17_14_what_was_written_last_to_the_object_store_counts_whatever_the_clocks_say(operators: list[Operator]) -> None:
    one, two = operators
    await two.replica.index.put_freeze(Freeze("docker.io/a:*", None))
    await two.replica.write()
    one.replica.now = two.replica.now = 1.0  # seconds since 1970
    await one.replica.index.put_freeze(Freeze("docker.io/a:*", DIGESTS[1]))
    await one.replica.write()
    assert await two.adopt() == [f"docker.io/a:* {DIGESTS[1]}"]
    await share(*operators)
    assert await one.adopt() == await two.adopt() == [f"docker.io/a:* {DIGESTS[1]}"]
