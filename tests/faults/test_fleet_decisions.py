"""What an operator freezes, thaws, pins or unpins at one member holds at all of them, also at those that were away."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from regproxy.oci.digest import Digest
from regproxy.policy.fleet.decisions import Decision
from tests.fakes.fleet import fleet
from tests.fakes.registry import FakeRegistry
from tests.rig import Rig

NAME = "library/app"
FREEZE = "docker.io/library/app:1"


Look = Callable[[Rig], Awaitable[object]]


async def holds(rigs: list[Rig], look: Look, wanted: object) -> None:
    """Wait until all of *rigs* look like that."""
    async with asyncio.timeout(100):
        for each in rigs:
            while await look(each) != wanted:  # noqa: ASYNC110 -- members tell each other by themselves
                await asyncio.sleep(0.05)


async def frozen(rig: Rig) -> dict[str, str | None]:
    status, said = await rig.admin("freezes")
    assert status == 200
    return {each["pattern"]: each["digest"] for each in said["freezes"]}


async def pins(rig: Rig) -> set[Digest]:
    return set((await rig.ledger.decisions()).pins)


async def served(rig: Rig) -> str:
    """Ask upstream what the tag means, and return what a client gets."""
    await rig.admin("refresh", "POST", {"image": f"docker.io/{NAME}:1"})
    return (await rig.ask(f"/v2/{NAME}/manifests/1")).headers["Docker-Content-Digest"]


async def test_n17_14_a_freeze_holds_at_every_member_and_so_does_its_end(tmp_path: Path) -> None:
    async with FakeRegistry() as upstream, fleet(tmp_path, {"docker.io": upstream.url}) as rigs:
        old = upstream.add_image(NAME, "1", [b"old"])
        for each in rigs:
            await each.ask(f"/v2/{NAME}/manifests/1")
        assert (await rigs[0].admin("freezes", "POST", {"pattern": FREEZE}))[0] == 201
        await holds(rigs, frozen, {FREEZE: str(old.digest)})
        new = upstream.add_image(NAME, "1", [b"new"])
        assert [await served(each) for each in rigs] == [str(old.digest)] * len(rigs)
        assert (await rigs[2].admin(f"freezes?pattern={FREEZE}", "DELETE"))[0] == 204
        await holds(rigs, frozen, {})
        assert [await served(each) for each in rigs] == [str(new.digest)] * len(rigs)
        assert (await rigs[1].admin("freezes", "POST", {"pattern": FREEZE}))[0] == 201
        await holds(rigs, frozen, {FREEZE: str(new.digest)})


async def test_n17_14_what_is_decided_at_several_members_at_once_holds_at_all(tmp_path: Path) -> None:
    async with fleet(tmp_path, {"docker.io": "http://127.0.0.1:1"}) as rigs:
        for number, each in enumerate(rigs):
            await each.admin("freezes", "POST", {"pattern": f"docker.io/team{number}/*"})
        await holds(rigs, frozen, {f"docker.io/team{number}/*": None for number in range(3)})


async def test_n17_14_a_pin_holds_at_every_member_and_so_does_its_end(tmp_path: Path) -> None:
    one, two = Digest.of(b"one"), Digest.of(b"two")
    async with fleet(tmp_path, {"docker.io": "http://127.0.0.1:1"}) as rigs:
        for digest in (one, two):
            await rigs[0].ledger.pin(digest, pinned=True)
        await holds(rigs, pins, {one, two})
        await rigs[1].ledger.pin(one, pinned=False)
        await holds(rigs, pins, {two})
        await rigs[2].ledger.pin(one, pinned=True)
        await holds(rigs, pins, {one, two})


async def test_n17_14_what_a_clock_an_hour_ahead_decided_holds_at_once_and_so_does_its_end_by_another(tmp_path: Path) -> None:
    async with fleet(tmp_path, {"docker.io": "http://127.0.0.1:1"}) as rigs:
        late = Decision("freeze", FREEZE, "", time.time_ns() // 1_000_000 + 3_600_000)
        await rigs[0].index.decisions().adopt([late])
        await holds(rigs, frozen, {FREEZE: None})
        assert (await rigs[1].admin(f"freezes?pattern={FREEZE}", "DELETE"))[0] == 204
        await holds(rigs, frozen, {})
