import logging
from collections.abc import Sequence
from dataclasses import replace

import pytest

from regproxy.oci.digest import Digest
from regproxy.peers.decisions import SharedDecisions
from regproxy.peers.reply import PeerError
from regproxy.policy.fleet.decisions import MAX, Decision, version
from regproxy.ports import StoreError

NOW = 1_800_000_000_000
FREEZE = Decision("freeze", "docker.io/library/*", "", NOW)
PIN = Decision("pin", str(Digest.of(b"an image")), "", NOW)
MEMBER = "http://192.0.2.2:5000"


class Kept:
    """Decisions in memory."""

    def __init__(self, *decisions: Decision) -> None:
        self.found, self.error = list(decisions), ""

    async def all(self) -> list[Decision]:
        if self.error:
            raise StoreError(self.error)
        return self.found

    async def adopt(self, decisions: Sequence[Decision]) -> None:
        self.found = [*self.found, *decisions]


def shared(kept: Kept) -> SharedDecisions:
    return SharedDecisions(kept, lambda: NOW / 1000)


async def nobody(member: str) -> list[Decision]:
    raise AssertionError(member)


async def test_n17_14_who_tells_another_version_is_asked_and_nobody_else() -> None:
    here, there = Kept(), Kept(FREEZE)

    async def ask(_: str) -> list[Decision]:
        return await shared(there).told()

    await shared(here).learn(MEMBER, "", nobody)
    await shared(here).learn(MEMBER, await shared(here).version(), nobody)
    await shared(here).learn(MEMBER, await shared(there).version(), ask)
    assert here.found == [FREEZE]
    await shared(there).learn(MEMBER, await shared(here).version(), nobody)


async def test_n17_14_what_cannot_be_learnt_now_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    here = Kept()

    async def refuses(_: str) -> list[Decision]:
        raise PeerError("it cannot")

    with caplog.at_level(logging.WARNING):
        await shared(here).learn(MEMBER, "another", refuses)
        here.error = "the index does not answer"
        assert await shared(here).version() == ""
        await shared(here).learn(MEMBER, "another", nobody)
    assert [vars(each)["fields"]["reason"] for each in caplog.records] == ["it cannot", "the index does not answer"]


class Member:
    """Counts how often it is asked for what it tells."""

    def __init__(self, *told: Decision, error: str = "") -> None:
        self.told, self.error, self.asked = list(told), error, 0

    async def ask(self, _: str) -> list[Decision]:
        self.asked += 1
        if self.error:
            raise PeerError(self.error)
        return self.told

    @property
    def version(self) -> str:
        return version(self.told)


@pytest.mark.parametrize("error", ["", "it broke off"])
async def test_n17_14_who_tells_nothing_that_counts_is_asked_ever_less_until_it_tells_something_else(
    caplog: pytest.LogCaptureFixture, error: str
) -> None:
    here, there = Kept(), Member(replace(FREEZE, at=2 * NOW), error=error)
    subject = shared(here)
    for _ in range(1000):
        await subject.learn(MEMBER, there.version, there.ask)
    assert 5 < there.asked < 30
    assert len(caplog.records) <= there.asked
    there.told, there.error, there.asked = [FREEZE], "", 0
    await subject.learn(MEMBER, there.version, there.ask)
    assert (here.found, there.asked) == ([FREEZE], 1)


async def test_n17_14_who_told_nothing_that_counts_is_asked_again_when_we_know_something_else() -> None:
    here, there = Kept(), Member(replace(FREEZE, at=2 * NOW))
    subject = shared(here)
    for _ in range(100):
        await subject.learn(MEMBER, there.version, there.ask)
    asked = there.asked
    here.found.append(PIN)
    await subject.learn(MEMBER, there.version, there.ask)
    assert there.asked == asked + 1


async def test_n17_14_who_fails_once_is_asked_again_at_the_next_look() -> None:
    here, there = Kept(), Member(FREEZE, error="it broke off")
    subject = shared(here)
    await subject.learn(MEMBER, there.version, there.ask)
    there.error = ""
    await subject.learn(MEMBER, there.version, there.ask)
    assert here.found == [FREEZE]


async def test_n17_14_that_there_are_more_than_are_told_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    here = Kept(*(replace(FREEZE, name=f"docker.io/library/{number}:1") for number in range(MAX)))
    subject = shared(here)
    await subject.version()
    assert caplog.records == []
    for number in range(3):
        here.found.append(replace(FREEZE, name=f"quay.io/{number}"))
        await subject.version()
    assert [each.message for each in caplog.records] == ["more freezes and pins than members of the fleet tell each other"]
