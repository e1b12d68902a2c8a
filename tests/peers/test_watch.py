import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path

import pytest

from regproxy.config import Address
from regproxy.config.sections.fleet import FleetSettings
from regproxy.oci.digest import Digest
from regproxy.oci.reference import Repository
from regproxy.peers.client import Pong
from regproxy.peers.decisions import SharedDecisions
from regproxy.peers.membership import Membership
from regproxy.peers.pieces.cache import PieceCache
from regproxy.peers.watch import FleetWatch
from regproxy.policy.fleet.cut import MIB
from regproxy.policy.fleet.decisions import Decision
from regproxy.policy.fleet.suspicion import Suspicions
from regproxy.policy.fleet.traffic import Traffic
from tests.fakes.fleet import KEY

US, FRIEND, OTHER, LAST = (f"http://192.0.2.{number}:5000" for number in (1, 2, 3, 4))


class Wire:
    """A way to members, some of whom it does not lead to."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.broken: dict[str, str] = {}

    async def ping(self, member: str) -> Pong:
        self.asked.append(member)
        return Pong(self.broken.get(member))

    async def decisions(self, member: str) -> list[Decision]:
        raise AssertionError(member)


class Nothing:
    """Nobody decided anything."""

    async def all(self) -> list[Decision]:
        return []

    async def adopt(self, decisions: Sequence[Decision]) -> None:
        raise AssertionError(decisions)


class Place:
    """One member's view, by a name that stands for some addresses."""

    def __init__(self, root: Path) -> None:
        self.addresses = ["192.0.2.1", "192.0.2.2", "192.0.2.3"]
        self.wire, self.total, self.ours = Wire(), Traffic(), Traffic()
        self.suspected: list[dict[str, str]] = []
        self.now = 17.0
        settings = FleetSettings.model_validate({"peers": "dns://peers.test:5000", "key": KEY, "advertise": US})
        self.membership = Membership(settings, Address("0.0.0.0", 5000), is_tls=False, suspicions=Suspicions(), resolve=self._resolve)
        cache = PieceCache(root, 1000, 60.0)
        self.watch = FleetWatch(
            self.membership,
            self.wire,
            cache,
            {"docker.io"},
            self.ours,
            self.total,
            lambda: self.suspected,
            SharedDecisions(Nothing()),
            lambda: self.now,
        )

    async def look(self) -> None:
        await self.membership.refresh()
        await self.watch.look()
        self.now += 1.0

    def found(self, limit: int = 100) -> list[dict[str, object]]:
        members = self.watch.document(limit)["members"]
        assert isinstance(members, list)
        return members

    async def _resolve(self, host: str, port: int) -> list[str]:
        del host, port
        return self.addresses


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


async def test_n17_10_members_that_come_and_go_are_logged_once(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    await place.look()
    place.addresses = ["192.0.2.1", "192.0.2.2", "192.0.2.4"]
    await place.look()
    await place.look()
    said = [(each.message, getattr(each, "fields", {}).get("members")) for each in caplog.records]
    assert said == [
        ("members joined the fleet", f"{FRIEND}, {OTHER}"),
        ("members joined the fleet", LAST),
        ("members left the fleet", OTHER),
    ]


async def test_n17_10_a_thousand_members_that_come_at_once_are_one_line(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    place.addresses = [f"10.0.{number // 250}.{number % 250}" for number in range(1000)]
    await place.look()
    (line,) = caplog.records
    assert getattr(line, "fields", {})["members"].endswith(" and 990 more")


async def test_n17_10_who_cannot_be_reached_is_told_with_the_reason_until_it_is(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    await place.look()
    assert [(each["address"], each["health"], each["checked_at"]) for each in place.found()] == [
        (US, "healthy", None),
        (OTHER, "unknown", None),
        (FRIEND, "healthy", 17.0),
    ]
    place.wire.broken = {OTHER: "it did not answer within 1 s"}
    caplog.clear()
    caplog.set_level(logging.INFO)
    for _ in range(3):
        await place.look()
    assert (place.found()[1]["health"], place.found()[1]["reason"]) == ("unreachable", "it did not answer within 1 s")
    assert place.watch.document(1)["counts"] == {"healthy": 2, "unknown": 0, "suspected": 0, "unreachable": 1}
    place.wire.broken = {}
    for _ in range(3):
        await place.look()
    assert [each["health"] for each in place.found()] == ["healthy"] * 3
    assert [each.message for each in caplog.records] == ["cannot reach a member of the fleet", "a member of the fleet is reached again"]
    assert US not in place.wire.asked


async def test_n17_10_what_any_process_holds_against_a_member_is_told(place: Place) -> None:
    for _ in range(2):
        await place.look()
    place.suspected = [{}, {FRIEND: "it sent wrong bytes"}, {LAST: "no member any more"}]
    assert [(each["health"], each["reason"]) for each in place.found() if each["address"] == FRIEND] == [
        ("suspected", "it sent wrong bytes")
    ]
    assert place.found(2) == place.found()[:2], "ourselves, then the worst"
    assert [each["health"] for each in place.found(2)] == ["healthy", "suspected"]


async def test_n17_10_bytes_of_all_processes_add_up_until_the_member_leaves(place: Place) -> None:
    await place.look()
    place.ours.count(FRIEND, received=5)
    place.total.add({FRIEND: (10, 20)})
    place.ours.count(FRIEND, sent=1)
    (found,) = [each for each in place.found() if each["address"] == FRIEND]
    assert (found["received_bytes"], found["sent_bytes"]) == (15, 21)
    place.addresses = ["192.0.2.1", "192.0.2.3"]
    await place.look()
    assert place.total.of(FRIEND) == (0, 0)
    assert sum(float(str(each["share"])) for each in place.found()) == pytest.approx(1.0)


async def test_n17_10_it_looks_again_and_again(place: Place) -> None:
    await place.membership.refresh()
    watching = asyncio.create_task(place.watch.run())
    try:
        async with asyncio.timeout(60):
            while len(place.wire.asked) < 2:  # noqa: ASYNC110 -- it says when by nothing else
                await asyncio.sleep(0.01)
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


async def test_n17_10_the_pieces_of_a_blob_have_owners_that_can_be_reached(place: Place) -> None:
    await place.look()
    app, digest = Repository("docker.io", "library/app"), Digest.of(b"blob")
    owners = place.watch.owners(app, digest, 64 * MIB)
    assert owners is not None
    assert (sum(owners.values()), set(owners)) == (64, {US, FRIEND, OTHER})
    place.wire.broken = {OTHER: "it did not answer within 1 s"}
    for _ in range(3):
        await place.look()
    owners = place.watch.owners(app, digest, 64 * MIB)
    assert owners is not None
    assert (sum(owners.values()), set(owners)) == (64, {US, FRIEND})
    assert place.watch.owners(Repository("private.test", "app"), digest, MIB) is None
