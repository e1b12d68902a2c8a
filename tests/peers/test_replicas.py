"""What members share, while some of them are dead, hung, busy or strangers; upstreams of which nothing may be shared."""

import asyncio
import json
import logging
from collections.abc import Callable
from itertools import pairwise

import pytest

from regproxy.fleet.encryption import Encryption
from regproxy.oci.reference import Reference, Repository, Tag
from regproxy.policy.credential import Secret
from regproxy.policy.fleet.owners import owners
from regproxy.policy.fleet.ring import Ring
from tests.fakes.fleet import KEY
from tests.fakes.listener import Listener
from tests.fakes.members import Member, members
from tests.fleet.replicas import OTHER_RING, RECORD, TOKEN

QUICK = 0.2  # seconds for a call that is to come to nothing


class Silent(Listener):
    """A member that is stopped."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        del writer
        await reader.read()


def _owned_by(member: str, all_of_them: list[str], kind: str = "tag") -> Reference:
    """Return a tag that *member* keeps."""
    names, ring = Encryption(KEY, "fleet", is_bound=True).names, Ring([*all_of_them, "us"], "us")
    found = (Reference(Repository("docker.io", "library/app"), Tag(str(number))) for number in range(10_000))
    return next(each for each in found if owners(ring, names(f"{kind} {each}")[0], lambda _: False)[0] == member)


async def _until(is_true: Callable[[], bool]) -> None:
    async with asyncio.timeout(300):
        while not is_true():  # noqa: ASYNC110 -- another task is watched
            await asyncio.sleep(0.01)


async def _shared(one: Member, other: Member, tag: Reference) -> bool:
    one.fleet.put_tag(tag, RECORD)
    await one.fleet.settled()
    return await other.fleet.tag(tag) == RECORD


async def test_n17_05_all_find_what_one_has_put_whoever_keeps_it() -> None:
    async with members(3) as found:
        for owner in found:
            tag = _owned_by(owner.url, [each.url for each in found])
            assert all([await _shared(one, other, tag) for one in found for other in found])
            assert owner.kept.bytes_kept


async def test_n17_05_no_name_and_no_value_is_told_to_who_keeps_it() -> None:
    key, name = Secret("canary-password of docker.io"), "canary lock"
    async with members(2) as (one, other):
        one.fleet.put_token(key, TOKEN)
        tag = _owned_by(other.url, [one.url, other.url])
        one.fleet.put_tag(tag, RECORD)
        async with one.fleet.lock(name):
            pass
        await one.fleet.settled()
        told = repr([each.asked for each in (one, other)]) + repr([each.kept._values for each in (one, other)])
        assert other.asked
        assert not any(text in told for text in ("canary", "library", TOKEN.value.value, str(RECORD.descriptor.digest)))


async def test_n17_05_of_upstreams_that_clients_show_their_credentials_tags_are_not_shared() -> None:
    async with members(2, is_shared=lambda name: name != "docker.io") as (one, other):
        tag = Reference(Repository("docker.io", "library/app"), Tag("1"))
        public = Reference(Repository("quay.io", "library/app"), Tag("1"))
        one.fleet.put_history(tag, ())
        assert [await _shared(one, other, tag), await _shared(one, other, public)] == [False, True]
        assert await other.fleet.history(tag) == ()


@pytest.mark.parametrize("name", ["tag docker.io/library/app:1", "proof public docker.io/library/app", "access quay.io/library/app"])
async def test_n17_05_where_nothing_is_shared_nobody_waits(name: str) -> None:
    async with members(2, is_shared=lambda name: name != "docker.io") as (one, other):
        async with one.fleet.lock(name), other.fleet.lock(name):
            pass
        assert one.asked == other.asked == []


async def test_n17_06_a_member_that_is_dead_is_left_alone_until_it_is_back(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with members(3) as (one, other, gone):
        urls = [one.url, other.url, gone.url]
        tag = _owned_by(gone.url, urls)
        await gone.die()
        assert await _shared(one, other, tag), "the next one keeps it"
        assert one.fleet._left_alone == {gone.url}
        await gone.serve()
        await _until(lambda: not one.fleet._left_alone and not other.fleet._left_alone)
        asked = len(gone.asked)
        assert await _shared(one, other, tag)
        assert len(gone.asked) > asked
    lines = [each.message for each in caplog.records]
    assert lines.count("a member of the fleet shares no tags and tokens: continuing without it") == 2
    assert lines.count("a member of the fleet shares tags and tokens again") == 2


async def test_n17_06_a_member_that_says_nothing_is_waited_for_once() -> None:
    async with Silent() as silent, members(2, timeout=QUICK, more=[silent.url]) as (one, other):
        tag = _owned_by(silent.url, [one.url, other.url, silent.url])
        assert await one.fleet.tag(tag) is None
        assert one.fleet._left_alone == {silent.url}
        await _until(lambda: silent.connections > 2)  # tried again and again, behind the pulls
        assert one.fleet._left_alone == {silent.url}


class Earlier(Listener):
    """A member of a version that shares no tags: it knows no such path, and says so to anybody."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}")
        writer.close()


async def test_n17_06_beside_a_member_of_an_earlier_version_the_others_share() -> None:
    async with Earlier() as earlier, members(2, more=[earlier.url]) as (one, other):
        tag = _owned_by(earlier.url, [one.url, other.url, earlier.url])
        assert await _shared(one, other, tag)
        assert one.fleet._left_alone == other.fleet._left_alone == {earlier.url}


@pytest.mark.parametrize("call", ["tag", "lock", "claim"])
async def test_n17_06_where_everybody_is_silent_each_does_for_itself(call: str) -> None:
    async with Silent() as silent, Silent() as other, members(1, timeout=QUICK, more=[silent.url, other.url]) as (one,):
        for number in range(20):
            if call == "lock":
                async with one.fleet.lock(f"work {number}"):
                    pass
            elif call == "claim":
                assert await one.fleet.claim(f"work {number}", 60.0)
            else:
                assert await one.fleet.tag(Reference(Repository("docker.io", "a"), Tag(str(number)))) is None
        assert one.fleet._left_alone == {silent.url, other.url}


async def test_n17_06_a_member_with_another_key_shares_nothing() -> None:
    async with members(2, keys=[KEY, OTHER_RING]) as (one, other):
        tag = _owned_by(other.url, [one.url, other.url])
        assert not await _shared(one, other, tag)
        assert await _shared(one, one, tag)
        assert other.asked == []


async def test_n17_05_while_keys_are_rotated_all_find_what_any_of_them_has_put() -> None:
    steps = [KEY, f"{KEY},{OTHER_RING}", f"{OTHER_RING},{KEY}", OTHER_RING]
    for before, after in pairwise(steps):
        async with members(2, keys=[before, after]) as (one, other):
            for number in range(10):
                tag = Reference(Repository("docker.io", "library/app"), Tag(str(number)))
                assert await _shared(one, other, tag)
                assert await _shared(other, one, tag)


async def test_n17_06_the_lock_of_a_member_that_dies_is_anothers_soon() -> None:
    async with members(2, timeout=QUICK) as (one, other):
        dying = one.fleet.lock("work")
        await dying.__aenter__()
        for task in asyncio.all_tasks():
            if task.get_name() == "fleet lock":
                task.cancel()  # it renews the lock no more
        async with asyncio.timeout(300), other.fleet.lock("work"):
            pass
        await dying.__aexit__(None, None, None)


async def test_n17_06_a_lock_is_its_holders_for_as_long_as_it_works() -> None:
    async with members(2, timeout=QUICK) as (one, other):
        async with one.fleet.lock("work"):
            place = Encryption(KEY, "fleet", is_bound=True).names("lock work")[0]
            owner = one if place in one.kept._locks else other
            first = owner.kept._locks[place].until
            await _until(lambda: owner.kept._locks[place].until > first + 5 * QUICK)
        await one.fleet.settled()
        assert place not in owner.kept._locks


async def test_n17_06_who_waits_at_a_member_that_dies_goes_on() -> None:
    async with members(3) as found:
        place = Encryption(KEY, "fleet", is_bound=True).names("lock work")[0]
        owner = next(each for each in found if owners(each.fleet._link.ring(), place, lambda _: False) == [each.url])  # type: ignore[union-attr]
        one, other = (each for each in found if each is not owner)
        async with one.fleet.lock("work"):
            reached = asyncio.Event()

            async def wait() -> None:
                async with other.fleet.lock("work"):
                    reached.set()

            waiting = asyncio.create_task(wait())
            await _until(lambda: bool(owner.kept._waiters))
            await owner.die()
            await asyncio.wait_for(reached.wait(), 300)
            await waiting


async def test_n17_06_who_leaves_while_it_waits_for_a_lock_leaves_none_behind() -> None:
    async with members(2) as (one, other):
        async with one.fleet.lock("work"):
            waiting = asyncio.create_task(other.fleet.lock("work").__aenter__())
            await _until(lambda: bool(one.kept._waiters or other.kept._waiters))
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
        await asyncio.gather(one.fleet.settled(), other.fleet.settled())
        assert not one.kept._locks
        assert not other.kept._locks


async def test_n17_05_of_members_one_does_what_is_claimed() -> None:
    async with members(3) as found:
        claims = [await each.fleet.claim("work", 60.0) for each in (*found, *found)]
        assert sorted(claims) == [False] * 5 + [True]
        assert await found[0].fleet.claim("work of another time", 60.0)


async def test_n17_05_before_it_joins_and_after_it_leaves_nobody_is_asked() -> None:
    tag = Reference(Repository("docker.io", "library/app"), Tag("1"))
    async with members(2) as (one, other):
        async with one.fleet.lock("work"):  # which it holds on as it leaves
            await one.fleet.leave()
            assert not await _shared(one, one, tag)
            assert await one.fleet.claim("work", 60.0)
            async with one.fleet.lock("other work"):
                pass
        asked = len(other.asked)
        await one.fleet.settled()
        assert len(other.asked) <= asked + 1
        assert json.dumps(sorted(one.fleet._left_alone)) == "[]"
