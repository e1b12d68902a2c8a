"""What is small is there in time or not at all: a byte now and then keeps nobody from the next host."""

import asyncio
from pathlib import Path

import pytest

from tests.fakes.deeds import Trickle
from tests.fakes.entry import on
from tests.fakes.registry import FakeRegistry
from tests.rig import QUICK, rig

NAME = "library/app"
# Only the deadline for all of an answer ends a trickle: between two bytes there is never a silence.
TIMEOUTS = {**QUICK, "headers": "3s", "silence": "5m", "revalidate": "5m", "progress": "5m"}
PATHS = [f"/v2/{NAME}/manifests/1", f"/v2/{NAME}/tags/list", f"/v2/{NAME}/referrers/sha256:{'a' * 64}"]


@pytest.mark.parametrize("path", PATHS, ids=["manifest", "tags", "referrers"])
async def test_n12_13_the_next_host_is_asked_when_one_trickles(upstream: FakeRegistry, tmp_path: Path, path: str) -> None:
    async with FakeRegistry() as slow:
        for registry in (slow, upstream):
            registry.add_image(NAME, "1", [b"layer"])
        slow.misbehave(on("GET", "/v2/"), Trickle())
        hosts = [{"url": slow.url}, {"url": upstream.url}]
        async with rig(tmp_path / "store", {"docker.io": {"hosts": hosts}}, timeouts=TIMEOUTS) as proxy:
            assert (await proxy.ask(path)).status == 200
        assert len(slow.ledger) == len(upstream.ledger) == 1


async def test_n12_13_alone_it_is_a_timeout_and_turns_are_given_back(upstream: FakeRegistry, tmp_path: Path) -> None:
    """More requests than there are turns."""
    for number in range(100):
        upstream.add_image(NAME, str(number), [b"layer"])
    upstream.add_image(NAME, "good", [b"layer"])
    upstream.misbehave(lambda entry: entry.method == "GET" and entry.reference != "good", Trickle())
    async with rig(tmp_path / "store", {"docker.io": upstream.url}, timeouts={**TIMEOUTS, "headers": "5s"}) as proxy:
        trickled = [proxy.ask(f"/v2/{NAME}/manifests/{number}") for number in range(100)]
        *slow, good = await asyncio.gather(*trickled, proxy.ask(f"/v2/{NAME}/manifests/good"))
        assert {answer.status for answer in slow} == {504}
        assert good.status == 200
