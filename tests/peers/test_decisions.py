import logging
from collections.abc import Sequence

import pytest

from regproxy.peers.decisions import SharedDecisions
from regproxy.peers.reply import PeerError
from regproxy.policy.fleet.decisions import Decision
from regproxy.ports import StoreError

NOW = 1_800_000_000_000
FREEZE = Decision("freeze", "docker.io/library/*", "", NOW)
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
