from regproxy.config import Address
from regproxy.config.sections.fleet import FleetSettings
from regproxy.peers.client import PeerError
from regproxy.peers.membership import Membership
from regproxy.peers.zones import ZoneFinder
from regproxy.policy.fleet.suspicion import Suspicions
from tests.fakes.fleet import KEY

US, FRIEND, DEAD, NOWHERE = (f"http://192.0.2.{number}:5000" for number in (1, 2, 3, 4))


async def test_n17_02_zones_are_learnt_from_who_answers_and_asked_again() -> None:
    settings = FleetSettings.model_validate({"peers": [US, FRIEND, DEAD, NOWHERE], "key": KEY, "advertise": US, "zone": "a"})
    membership = Membership(settings, Address("0.0.0.0", 5000), is_tls=False, suspicions=Suspicions())
    await membership.refresh()
    told = {FRIEND: "b", NOWHERE: ""}

    async def ask(member: str) -> str:
        if member not in told:
            raise PeerError("it did not answer")
        return told[member]

    finder = ZoneFinder(membership, ask)
    await finder.look()
    assert membership.zone_of == {US: "a", FRIEND: "b", NOWHERE: ""}
    assert [membership.zones.is_near(each) for each in (FRIEND, DEAD, NOWHERE)] == [False, True, True]
    told |= {FRIEND: "a", DEAD: "b"}
    for _ in range(2):
        await finder.look()
    assert membership.zone_of == {US: "a", FRIEND: "a", NOWHERE: "", DEAD: "b"}


async def test_n17_02_without_a_zone_of_our_own_nobody_is_asked() -> None:
    settings = FleetSettings.model_validate({"peers": [US, FRIEND], "key": KEY, "advertise": US, "zone": ""})
    membership = Membership(settings, Address("0.0.0.0", 5000), is_tls=False, suspicions=Suspicions())
    await membership.refresh()

    async def ask(member: str) -> str:
        raise AssertionError(member)

    await ZoneFinder(membership, ask).run()
    assert membership.zone_of == {}
