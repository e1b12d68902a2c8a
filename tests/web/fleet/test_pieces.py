"""What is answered at the port to those who claim to be members, and what to those who are, and want too much."""

import asyncio
import os
import time
from pathlib import Path

from regproxy.oci.reference import Repository
from regproxy.peers.client import MISDIRECTED, OUTCOME
from regproxy.peers.keys import ANSWER, FleetKeys
from regproxy.peers.names import PING, Blob, target_of
from tests.fakes.fleet import KEY, fleet
from tests.fakes.registry import FakeRegistry
from tests.rig import LOOPBACK, Answer, Rig

NAME = "library/app"
MIB = 1024 * 1024


async def asked(rig: Rig, target: str, range_: str = "bytes=0-1048575", host: str | None = None) -> Answer:
    """Ask as a member does; *host* is whom the request was made for, if not *rig*."""
    host = host or f"{LOOPBACK}:{rig.port}"
    field, sealed = FleetKeys(KEY, time.time).signed("GET", host, target, range_)
    answer = await rig.ask(target, Host=host, Range=range_, Regproxy_Fleet=field)
    sealed.check(answer.headers[ANSWER], str(answer.status), answer.headers[OUTCOME], answer.headers.get("Content-Range", ""))
    return answer


async def test_n17_20_what_another_member_was_asked_is_not_answered(tmp_path: Path) -> None:
    """Who has the address of a member that is gone is asked in its place, and may show us what it was asked."""
    async with FakeRegistry() as upstream, fleet(tmp_path, {"docker.io": upstream.url}, 2) as rigs:
        digest = upstream.add_blob(NAME, b"private")
        for target in (target_of(Blob(Repository("docker.io", NAME), digest), is_final=True), PING):
            for host in (f"{LOOPBACK}:{rigs[1].port}", f"localhost:{rigs[0].port}", "192.0.2.1:5000"):
                answer = await asked(rigs[0], target, host=host)
                assert (answer.status, answer.headers[OUTCOME]) == (421, MISDIRECTED)
                assert b"private" not in answer.body
        assert upstream.count("GET", "blobs") == 0


async def test_n17_03_a_member_by_two_names_waits_neither_for_itself_nor_in_a_circle(tmp_path: Path) -> None:
    blob = os.urandom(3 * MIB)
    async with FakeRegistry() as upstream, fleet(tmp_path, {"docker.io": upstream.url}, second_name="localhost") as rigs:
        digest = upstream.add_blob(NAME, blob)
        async with asyncio.timeout(100):  # less than members wait for one that lives
            answers = await asyncio.gather(*(each.ask(f"/v2/{NAME}/blobs/{digest}") for each in rigs))
        assert [(each.status, each.body == blob) for each in answers] == [(200, True)] * 3
