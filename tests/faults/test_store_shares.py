"""What one client's pulls fill of the store is bounded, and never at another's cost."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from regproxy.oci.digest import Digest
from tests.fakes.registry import FakeRegistry
from tests.faults.test_login import basic, hashed
from tests.rig import PATIENT, Rig, rig

BLOCK = 4096
IMAGE = 25 * BLOCK  # a layer of 24 blocks, and a manifest; with a configuration
SHARE = 3 * 27 * BLOCK
LATER = 3600.0
PASSWORD = "canary of all"
ANN, OPS = (basic(user, PASSWORD) for user in ("ann", "ops"))


class Clock:
    """A time that a test moves."""

    def __init__(self) -> None:
        self.now = 1_785_585_600.0

    def __call__(self) -> float:
        return self.now


def layer(number: int) -> bytes:
    return bytes([number]) * (24 * BLOCK)


@asynccontextmanager
async def shared(tmp_path: Path, clock: Clock, *, part: str = f"{SHARE}B", images: int = 12) -> AsyncIterator[tuple[Rig, FakeRegistry]]:
    users = tmp_path / "htpasswd"
    users.write_text("".join(f"{user}:{hashed(PASSWORD)}\n" for user in ("ann", "ops")))
    async with FakeRegistry() as upstream:
        for number in range(images):
            upstream.add_image(f"library/app-{number}", "1", [layer(number)])
        lasting = {"hosts": [{"url": upstream.url}], "tags": [{"fresh_for": "30d"}]}
        settings = {"clients": {"htpasswd": str(users)}, "quotas": [{"match": "ann", "store": part}], "timeouts": PATIENT}
        store = {"low_watermark": "99%"}
        async with rig(tmp_path / "store", {"docker.io": lasting}, clock, store=store, **settings) as proxy:
            yield proxy, upstream


async def pull(proxy: Rig, number: int, who: str) -> None:
    """Pull an image, and wait until what is kept of it is kept."""
    for path in ("manifests/1", f"blobs/{Digest.of(layer(number))}"):
        answer = await proxy.ask(f"/v2/library/app-{number}/{path}", Authorization=who)
        assert answer.status == 200
    assert answer.body == layer(number), "whatever becomes of it, all of it is served"
    await proxy.settled()


async def kept(proxy: Rig) -> list[int]:
    """List the images whose layers are in the store."""
    found: set[str] = set()
    for shard in range(256):
        found |= set(await proxy.ledger.recorded(f"{shard:02x}"))
    return [number for number in range(12) if str(Digest.of(layer(number))) in found]


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def test_n16_05_beyond_its_share_a_clients_own_images_make_room_and_nobody_elses(tmp_path: Path, clock: Clock) -> None:
    async with shared(tmp_path, clock) as (proxy, _):
        for number in (0, 1, 2):
            await pull(proxy, number, OPS)
        for number in range(3, 12):
            clock.now += LATER
            await pull(proxy, number, ANN)
        assert await kept(proxy) == [0, 1, 2, 9, 10, 11]


async def test_n16_05_what_is_in_use_stays_and_the_rest_passes_through(tmp_path: Path, clock: Clock) -> None:
    async with shared(tmp_path, clock) as (proxy, upstream):
        for number in (0, 1, 2, 3, 4):
            await pull(proxy, number, ANN)
        assert await kept(proxy) == [0, 1, 2]
        await pull(proxy, 4, OPS)
        assert await kept(proxy) == [0, 1, 2, 4], "another client brings in for itself what was passed through"
        asked = len([entry for entry in upstream.ledger if "app-4/blobs" in entry.path])
        await pull(proxy, 4, ANN)
        assert len([entry for entry in upstream.ledger if "app-4/blobs" in entry.path]) == asked, "and serves whoever may have it"


async def test_n16_05_what_is_larger_than_the_share_passes_through_and_moves_nothing(tmp_path: Path, clock: Clock) -> None:
    async with shared(tmp_path, clock, part=f"{20 * BLOCK}B") as (proxy, _):
        await pull(proxy, 0, ANN)
        clock.now += LATER
        await pull(proxy, 1, ANN)
        assert await kept(proxy) == []


async def test_n16_05_a_pull_that_failed_takes_no_share(tmp_path: Path, clock: Clock) -> None:
    async with shared(tmp_path, clock) as (proxy, _):
        for number in range(9):
            await proxy.ledger.claim("client ann", Digest.of(layer(number)), IMAGE, SHARE, clock())
        clock.now += LATER
        await pull(proxy, 9, ANN)
        await pull(proxy, 0, OPS)
        clock.now += LATER
        for number in (10, 11):
            await pull(proxy, number, ANN)
        assert await kept(proxy) == [0, 9, 10, 11]


async def test_n16_05_a_share_may_be_a_part_of_the_store(tmp_path: Path, clock: Clock) -> None:
    async with shared(tmp_path, clock, part="0.000001%") as (proxy, _):
        await pull(proxy, 0, ANN)
        assert await kept(proxy) == []
    async with shared(tmp_path, clock, part="50%") as (proxy, _):
        await pull(proxy, 0, ANN)
        assert await kept(proxy) == [0]
