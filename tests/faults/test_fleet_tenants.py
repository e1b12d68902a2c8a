"""Replicas share what an upstream gives to anybody, and nothing of what it gives to one of its tenants."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from regproxy.oci.digest import Digest
from regproxy.oci.reference import Repository
from regproxy.peers.names import Blob, target_of
from regproxy.peers.reply import FAILED, OUTCOME
from regproxy.policy.fleet.ring import Ring, start
from tests.fakes.deeds import Paced
from tests.fakes.entry import on
from tests.fakes.fleet import fleet
from tests.faults.test_proven import ANN, ANNS, BOB, LAYER, NOBODY, PUBLIC, Tenants
from tests.rig import LOOPBACK, Rig
from tests.web.fleet.test_pieces import asked

DIGEST = Digest.of(LAYER)


@pytest.fixture
async def tenants() -> AsyncIterator[Tenants]:
    async with Tenants() as registry:
        for name in (ANNS, PUBLIC):
            registry.add_blob(name, LAYER)
        yield registry


@pytest.fixture
async def rigs(tmp_path: Path, tenants: Tenants) -> AsyncIterator[list[Rig]]:
    upstream = {"hosts": [{"url": tenants.url}], "access": "proven"}
    async with fleet(tmp_path, {"docker.io": upstream}, insecure_credentials=True) as running:
        yield running


async def pulled(rig: Rig, name: str, who: str) -> tuple[int, bool]:
    answer = await rig.ask(f"/v2/{name}/blobs/{DIGEST}", **({"Authorization": who} if who else {}))
    await rig.settled()
    return answer.status, answer.body == LAYER


async def got(rig: Rig, name: str) -> bool:
    """Ask as a member does, and report whether *rig* gave some of the layer."""
    answer = await asked(rig, target_of(Blob(Repository("docker.io", name), DIGEST), is_final=True))
    assert answer.headers[OUTCOME] == FAILED or answer.status < 400
    return LAYER[:100] in answer.body


def pieces(root: Path) -> list[Path]:
    return list(root.glob("*/store/pieces/*"))


async def test_n17_21_what_is_public_is_fetched_once_for_all_and_as_nobody(rigs: list[Rig], tenants: Tenants) -> None:
    found = await asyncio.gather(*(pulled(each, PUBLIC, who) for each in rigs for who in (NOBODY, ANN, BOB)))
    assert found == [(200, True)] * 9
    assert tenants.sent_blob_bytes() == len(LAYER)
    assert tenants.asked("GET", "", PUBLIC) == tenants.asked("GET", None, PUBLIC)
    assert all([await got(each, PUBLIC) for each in rigs])


async def test_n17_21_what_is_private_is_fetched_by_each_and_given_to_no_member(rigs: list[Rig], tenants: Tenants, tmp_path: Path) -> None:
    """Also where the same bytes are public elsewhere, and while they are on their way to the client who may have them."""
    paced = tenants.misbehave(on("GET", f"{ANNS}/blobs"), Paced(len(LAYER) // 4), times=1)
    pulling = asyncio.create_task(pulled(rigs[0], ANNS, ANN))
    await tenants.seen(on("GET", f"{ANNS}/blobs"))
    assert [await got(each, ANNS) for each in rigs] == [False] * 3
    assert await pulling == (200, True)
    assert paced is not None
    assert [await got(each, ANNS) for each in rigs] == [False] * 3
    for who in (BOB, NOBODY):
        assert [(await pulled(each, ANNS, who))[1] for each in rigs] == [False] * 3
    assert pieces(tmp_path) == []
    assert await pulled(rigs[1], PUBLIC, NOBODY) == (200, True)
    assert [await got(each, ANNS) for each in rigs] == [False] * 3
    assert [await got(each, PUBLIC) for each in rigs] == [True] * 3


async def test_n17_21_who_has_not_asked_believes_nobody_that_something_is_public(rigs: list[Rig], tenants: Tenants) -> None:
    """Here the first one asks upstream for all, and it is private by the time that the others are asked for it."""
    members = [f"http://{LOOPBACK}:{each.port}" for each in rigs]
    blob = next(body for body in iter(lambda: os.urandom(1000), b"") if root_of(members, body) == members[0])
    digest = tenants.add_blob(PUBLIC, blob)
    assert (await rigs[0].ask(f"/v2/{PUBLIC}/blobs/{digest}")).status == 200
    await rigs[0].settled()
    tenants.open_to_all.clear()
    for each in rigs[1:]:
        answer = await asked(each, target_of(Blob(Repository("docker.io", PUBLIC), digest), is_final=True))
        assert (answer.headers[OUTCOME], answer.body) == (FAILED, b"")


def root_of(members: list[str], blob: bytes) -> str:
    return Ring(members, members[0]).at(start(str(Digest.of(blob)), 0), 0)
