"""What one machine shares, and what is beyond it."""

import asyncio

from regproxy.fleet.memory import NullFleet, SharedFleet
from regproxy.oci.reference import Reference, Repository, Tag
from regproxy.policy.credential import Secret
from regproxy.policy.freshness import Missing, TagRecord
from regproxy.policy.upstream.tokens import Token
from tests.fleet.test_rpc import KEY, RECORD, REFERENCE, TOKEN


async def test_who_is_beyond_is_asked_first_and_told_all() -> None:
    beyond = SharedFleet(NullFleet())
    fleet = SharedFleet(beyond)
    fleet.put_token(KEY, TOKEN)
    newer = TagRecord(RECORD.descriptor, 60.0)
    fleet.put_tag(REFERENCE, RECORD)
    beyond.put_tag(REFERENCE, newer)
    assert (await beyond.token(KEY), await fleet.tag(REFERENCE)) == (TOKEN, newer)


async def test_a_turn_is_one_beyond_as_well() -> None:
    beyond = SharedFleet(NullFleet())
    fleet, reached = SharedFleet(beyond), asyncio.Event()

    async def wait() -> None:
        async with fleet.lock("x"):
            reached.set()

    async with beyond.lock("x"):
        waiting = asyncio.create_task(wait())
        async with fleet.lock("y"):
            assert not reached.is_set()
    await waiting


async def test_n12_14_what_is_shared_is_bounded_by_its_size() -> None:
    fleet = SharedFleet(NullFleet())
    long = Token(Secret("a" * 16 * 1024), 100.0, 200.0)
    for number in range(2000):
        fleet.put_token(Secret(f"{number}"), long)
        fleet.put_tag(Reference(Repository("docker.io", f"a/{number}"), Tag("1")), Missing("m" * 16 * 1024, 50.0))
    kept = [await fleet.token(Secret(f"{number}")) for number in range(2000)]
    tags = [await fleet.tag(Reference(Repository("docker.io", f"a/{number}"), Tag("1"))) for number in range(2000)]
    for found in (kept, tags):
        assert (found[0], found[-1] is not None) == (None, True)
        assert sum(each is not None for each in found) * 16 * 1024 <= 16 * 1024 * 1024
