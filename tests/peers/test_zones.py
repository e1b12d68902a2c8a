import asyncio
from collections import Counter

from regproxy.config import Address
from regproxy.config.sections.fleet import FleetSettings
from regproxy.peers.membership import Membership
from regproxy.peers.reply import PeerError
from regproxy.peers.zones import ZoneFinder
from regproxy.policy.fleet.suspicion import Suspicions
from tests.fakes.fleet import KEY

US, FRIEND, DEAD, NOWHERE = (f"http://192.0.2.{number}:5000" for number in (1, 2, 3, 4))


async def membership_of(*others: str, zone: str = "a", us: str = US) -> Membership:
    settings = FleetSettings.model_validate({"peers": [us, *others], "key": KEY, "advertise": us, "zone": zone})
    membership = Membership(settings, Address("0.0.0.0", 5000), is_tls=False, suspicions=Suspicions())
    await membership.refresh()
    return membership


async def test_n17_02_zones_are_learnt_from_who_answers_and_asked_again() -> None:
    membership = await membership_of(FRIEND, DEAD, NOWHERE)
    told, moments = {FRIEND: "b", NOWHERE: ""}, [0.0]

    async def ask(member: str) -> str:
        if member not in told:
            raise PeerError("it did not answer")
        return told[member]

    finder = ZoneFinder(membership, ask, lambda: moments[-1])
    await finder.look()
    assert membership.zone_of == {US: "a", FRIEND: "b", NOWHERE: ""}
    assert [membership.zones.is_near(each) for each in (FRIEND, DEAD, NOWHERE)] == [False, True, True]
    told |= {FRIEND: "a", DEAD: "b"}
    for second in (1.0, 2.0, 3.0):
        moments.append(second)
        await finder.look()
    assert membership.zone_of == {US: "a", FRIEND: "a", NOWHERE: "", DEAD: "b"}


async def test_n17_02_without_a_zone_of_our_own_nobody_is_asked() -> None:
    membership = await membership_of(FRIEND, zone="")

    async def ask(member: str) -> str:
        raise AssertionError(member)

    await ZoneFinder(membership, ask).run()
    assert membership.zone_of == {}


async def test_n17_02_a_member_that_is_new_or_dead_is_not_asked_by_all_at_once() -> None:
    """Of 80 members that start together, 8 are dead and answer nobody."""
    members = [f"http://192.0.2.{number}:5000" for number in range(80)]
    dead, asked, moments = set(members[::10]), Counter[str](), [0.0]

    async def ask(member: str) -> str:
        asked[member] += 1
        if member in dead:
            raise PeerError("it did not answer")
        return "b"

    finders = [ZoneFinder(await membership_of(*set(members) - {us}, us=us), ask, lambda: moments[-1]) for us in members]
    for second in range(12):
        moments.append(second)
        asked.clear()
        await asyncio.gather(*(each.look() for each in finders))
        assert max(asked.values()) <= 40
