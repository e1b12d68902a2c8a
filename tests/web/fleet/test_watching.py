import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from regproxy.peers.client import PeerClient
from regproxy.peers.keys import FleetKeys
from regproxy.peers.names import DECIDED
from regproxy.peers.reply import PeerError
from regproxy.policy.fleet.decisions import version
from tests.fakes.fleet import KEY, fleet
from tests.rig import LOOPBACK, Rig


@asynccontextmanager
async def asking(key: str = KEY) -> AsyncIterator[PeerClient]:
    client = PeerClient(FleetKeys(key, time.time), 60.0, time.time)
    try:
        yield client
    finally:
        await client.close()


def name(rig: Rig) -> str:
    return f"http://{LOOPBACK}:{rig.port}"


async def test_n17_14_a_member_tells_what_operators_decided_and_its_version(tmp_path: Path) -> None:
    async with fleet(tmp_path, {"docker.io": "http://127.0.0.1:1"}, 1) as (rig,), asking() as client:
        before = (await client.ping(name(rig))).decisions
        assert before == version([])
        await rig.admin("freezes", "POST", {"pattern": "docker.io/library/*"})
        (found,) = await client.decisions(name(rig))
        assert (found.kind, found.name, found.value) == ("freeze", "docker.io/library/*", "")
        assert (await client.ping(name(rig))).decisions == version([found]) != before


async def test_n17_14_nobody_without_the_key_is_told(tmp_path: Path) -> None:
    async with (
        fleet(tmp_path, {"docker.io": "http://127.0.0.1:1"}, 1) as (rig,),
        asking(KEY[::-1]) as client,
    ):
        await rig.admin("freezes", "POST", {"pattern": "docker.io/secret/*"})
        with pytest.raises(PeerError):
            await client.decisions(name(rig))
        answer = await rig.ask(DECIDED)
        assert (answer.status, b"secret" in answer.body) == (401, False)
